"""Whether what succeeded can be seen in the CRM, and whether every record shows its newest version. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from oppsync_ops.prove.evidence import Evidence, Record, Seen
from oppsync_ops.prove.planned import ASTRAY, Fate, PlannedJob
from oppsync_worker.contract.states import State

DONE = frozenset({State.SUCCEEDED, State.MERGED})
MOST_STEPS = 100
"""Longer than any chain of updates that travelled inside one another."""


def without_effect(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Updates called succeeded, or merged, that the CRM shows nothing of.

    A request may carry several updates of a record at once: of each part, the newest value among them must have been
    applied.
    """
    carried: defaultdict[str, list[PlannedJob]] = defaultdict(list)
    for job_id, job in evidence.jobs.items():
        seen = evidence.seen.get(job_id)
        if job.creates or seen is None or seen.state not in DONE:
            continue
        carrier = _carrier(job_id, evidence.seen)
        if carrier is None:
            yield job_id, f"merged into {seen.points_to}, which has not succeeded"
        else:
            carried[carrier].append(job)
    records = records_of(evidence)
    for carrier, jobs in carried.items():
        applied = [one.versions for record in records.get(jobs[0].record, ()) for one in record.updates]
        for part in sorted({part for job in jobs for part in job.changes}):
            version = max(job.version for job in jobs if part in job.changes)
            if not any(versions.get(part) == version for versions in applied):
                yield carrier, f"succeeded, but its {part} of version {version} was never applied"
                break


def wrong(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Parts of records that show something else than the newest update that succeeded.

    An update that is at no end, or was given up after it had been sent, may show too: whether it was carried out is
    what nobody knows of it, and another check tells of it.
    """
    jobs: defaultdict[str, list[PlannedJob]] = defaultdict(list)
    for job in evidence.jobs.values():
        jobs[job.record].append(job)
    for name, records in records_of(evidence).items():
        for record in records:
            for strange in {one.meant_for for one in record.updates} - {None, name}:
                yield f"{record.instance} record {record.opportunity_id} ({name})", f"was changed by a job of {strange}"
        if len(records) > 1:
            continue  # doubled: which of them counts?
        for part, shown in sorted(records[0].versions.items()):
            touching = [job for job in jobs[name] if part in job.changes and not job.creates]
            done = [job.version for job in touching if _state(evidence, job) in DONE]
            newest = max(done, default=0)
            open_ones = {
                job.version for job in touching if job.fate is Fate.SUCCEEDED and _state(evidence, job) not in DONE
            }
            allowed = {newest} | {version for version in open_ones if version > newest}
            if shown not in allowed:
                where = f"{records[0].instance} record {records[0].opportunity_id} ({name})"
                what = "nothing that was written to it" if shown == ASTRAY else f"version {shown}"
                yield where, f"its {part} shows {what} instead of {newest}"


def records_of(evidence: Evidence) -> dict[str, list[Record]]:
    """The records in the CRM, by the plan's name of them."""
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for record in evidence.records:
        if job := evidence.jobs.get(record.made_by or ""):
            found[job.record].append(record)
    return dict(found)


def _carrier(job_id: str, seen: Mapping[str, Seen]) -> str | None:
    """The job in whose request this one travelled; itself, unless it was merged."""
    for _ in range(MOST_STEPS):
        one = seen.get(job_id)
        if one is None or one.state not in DONE:
            return None
        if one.state is State.SUCCEEDED:
            return job_id
        job_id = one.points_to or ""
    return None


def _state(evidence: Evidence, job: PlannedJob) -> State | None:
    seen = evidence.seen.get(job.job_id)
    return seen.state if seen else None
