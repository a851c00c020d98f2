"""Which fault hit which jobs: what makes a run's zeros mean something. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from oppsync_ops.prove.driver import Deed
from oppsync_ops.prove.evidence import Request
from oppsync_ops.prove.neighbours import SPARED
from oppsync_ops.prove.planned import PlannedJob

BY_LEAD: Final = "/listopportunitysleadcomplete/"


@dataclass(frozen=True, slots=True)
class Hit:
    """One blow: when (seconds since 1970), and on whom; `jobs` is empty where nobody can say."""

    fault: str
    at: float
    jobs: tuple[str, ...]
    says: str = ""


@dataclass(frozen=True, slots=True)
class FaultCount:
    """How often a fault struck, and how many jobs."""

    fault: str
    times: int
    jobs: int
    some: tuple[str, ...]


def hits(deeds: Iterable[Deed], requests: Iterable[Request], jobs: Mapping[str, PlannedJob]) -> tuple[Hit, ...]:
    """Every blow of the driver and of the CRM, in order of time.

    A look-up by lead hits whoever was created for that lead: the request does not say for which of them it asks.
    """
    leads: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for job_id, job in jobs.items():
        if job.creates and job.lead_id:
            leads[job.instance, f"{BY_LEAD}{job.lead_id}"].append(job_id)
    found = [Hit(deed.fault, deed.at, deed.jobs, deed.says) for deed in deeds]
    for one in requests:
        if one.fault and not one.fault.startswith(SPARED):
            whom = (one.job_id,) if one.job_id else tuple(leads.get((one.instance, one.path), ()))
            found.append(Hit(one.fault, one.at, whom, f"{one.method} {one.path}"))
    return tuple(sorted(found, key=lambda hit: hit.at))


def counted(
    found: Sequence[Hit], *, names: Iterable[str], unseen: Mapping[str, int], some: int = 3
) -> list[FaultCount]:
    """How often each fault struck, those too that never did; `unseen` are blows that no request tells of."""
    blows: defaultdict[str, list[Hit]] = defaultdict(list)
    for hit in found:
        blows[hit.fault].append(hit)
    counts = []
    for name in dict.fromkeys([*names, *blows, *unseen]):
        jobs = dict.fromkeys(job for hit in blows[name] for job in hit.jobs)
        times = len(blows[name]) + unseen.get(name, 0)
        counts.append(FaultCount(name, times, len(jobs), tuple(list(jobs)[:some])))
    return counts


def by_job(found: Sequence[Hit]) -> dict[str, list[Hit]]:
    """The blows that each job took, in order of time."""
    whom: defaultdict[str, list[Hit]] = defaultdict(list)
    for hit in found:
        for job_id in hit.jobs:
            whom[job_id].append(hit)
    return dict(whom)
