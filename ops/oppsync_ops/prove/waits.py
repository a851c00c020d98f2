"""What quiet jobs waited, in calm, beside neighbours and under fire, and whether that was too long. Pure.

A wait is the time from enqueue to success. In the calm of the same run nothing else is there, so its 99th percentile is
what an idle system takes on this very machine. Beside neighbours, and under fire, the 99th percentile may be at most
`TIMES` that, and what a busy machine costs everybody: that is measured as well, by asking the CRM something trivial all
the time, past Redis and the product (`Beat`).

A job during which a process was killed or a link was cut may have been in the hands of that worker. Such jobs are
judged apart: each may wait for as long as its faults lasted, and for what the product waits after such a fault.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from oppsync_ops.spread import percentile

TIMES: Final = 1.1
GRACE_S: Final = 0.25
"""What is nobody's: clocks, a page fault, a garbage collection, on a machine that runs everything at once."""
HOPS: Final = 6
"""Turns that a job and its request wait for a processor: producer, Redis, worker, Redis, CRM, worker."""
LEAST: Final = 10
"""Waits below which there is no percentile to speak of."""
RESTART_S: Final = 6.0
"""After this a worker that was killed is back, breakers are closed, and what had piled up is worked off."""
BEFORE_S: Final = 0.5
ON_ITS_WAY_S: Final = 2.0
"""A fault that strikes later than this after a job's enqueue explains nothing: it should have been done by then."""
LOOKS_LOST: Final = 2
"""So many look-ups for one job may have been in the hands of workers that were killed; more would be no chance."""


class Phase(StrEnum):
    """When a job was handed over; the value is what people read."""

    CALM = "idle system"
    BESIDE = "neighbours in trouble"
    FIRE = "neighbours and faults"


@dataclass(frozen=True, slots=True)
class Wait:
    """One quiet job; `seconds` is None for one that never succeeded. `began` is in seconds since 1970."""

    job_id: str
    phase: Phase
    lane: str
    began: float
    seconds: float | None
    hit: bool = False
    """A fault of the CRM struck its own request."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault of the driver: from when to when, in seconds since 1970, it kept somebody from working."""

    since: float
    until: float


def with_lost_trials(
    outages: Iterable[Outage], unreachable: Iterable[Outage], kills: Iterable[float], *, lease_s: float
) -> list[Outage]:
    """All outages, and those of instances whose breaker was tried by a worker that was killed just then.

    When the CRM could not be reached, breakers open, and then one call at a time tries. What became of the call of a
    killed worker nobody knows before its lease is over, and until then nobody else tries.
    """
    dead = sorted(kills)
    lost = [Outage(at, at + lease_s) for one in unreachable for at in dead if one.since <= at <= one.until + RESTART_S]
    return [*outages, *lost]


@dataclass(frozen=True, slots=True)
class Beat:
    """How long something trivial took, past the product."""

    phase: Phase
    seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Everything that is known of waiting in a run."""

    waits: tuple[Wait, ...] = ()
    outages: tuple[Outage, ...] = ()
    beats: tuple[Beat, ...] = ()
    explained_s: float = 40.0
    """What a fault explains beyond the time that it lasted: a lease and, for a create that was being sent, the window
    in which it is looked for."""
    kills: tuple[float, ...] = ()
    """When workers were killed, in seconds since 1970."""
    look_s: float = 30.0
    """After this, a look-up whose worker was killed is made by somebody else."""
    measured: bool = True
    """Whether there were quiet jobs to look at: a run without neighbours has none."""


NO_WAITING: Final = Waiting(measured=False)


@dataclass(frozen=True, slots=True)
class Figures:
    """One phase and lane; `allowed_s` is None for the calm, which is the measure."""

    phase: Phase
    lane: str
    jobs: int
    p50_s: float
    p99_s: float
    allowed_s: float | None = None
    hit: int = 0
    """Jobs during which a fault struck: they are judged apart, and not among `jobs`."""
    hit_most_s: float | None = None

    @property
    def too_long(self) -> bool:
        """Whether somebody waited for a neighbour."""
        return self.allowed_s is not None and self.p99_s > self.allowed_s


def figures(waiting: Waiting) -> list[Figures]:
    """A line for each phase and lane of which there is enough to tell."""
    found = []
    lanes = sorted({one.lane for one in waiting.waits}, reverse=True)
    for phase in Phase:
        for lane in lanes:
            mine = [one for one in waiting.waits if one.phase is phase and one.lane == lane]
            clear = [one.seconds for one in mine if one.seconds is not None and not _struck(one, waiting)]
            struck = [one.seconds for one in mine if one.seconds is not None and _struck(one, waiting)]
            if clear:
                allowed = None if phase is Phase.CALM else _allowed(waiting, phase, lane)
                p50, p99 = percentile(clear, 50), percentile(clear, 99)
                found.append(
                    Figures(phase, lane, len(clear), p50, p99, allowed, len(struck), max(struck, default=None))
                )
    return found


def too_long(waiting: Waiting) -> Iterator[tuple[str, str]]:
    """Whose wait was too long: a lane in a phase, or a job that was hit and waited longer than that explains."""
    if not waiting.measured:
        return
    if not waiting.waits:
        yield "quiet jobs", "not one was handed over: nothing is proved"
    yield from _unproved(waiting.waits)
    for one in figures(waiting):
        if one.too_long:
            yield (
                f"the {one.lane} lane",
                f"{one.phase}: 99 % of {one.jobs} jobs took up to {one.p99_s:.2f} s; {one.allowed_s:.2f} s are allowed",
            )
    for wait in waiting.waits:
        allowed = _allowed(waiting, wait.phase, wait.lane)
        if wait.seconds is None or allowed is None or not _struck(wait, waiting) or wait.hit:
            continue
        met = _outages(wait, waiting, ON_ITS_WAY_S)
        explained = sum(one.until - one.since + waiting.explained_s + RESTART_S for one in met)
        # Quiet jobs are creates. What is looked for meanwhile may be in the hands of the next worker that is killed.
        looking = [at for at in waiting.kills if wait.began + ON_ITS_WAY_S < at <= wait.began + explained]
        explained += waiting.look_s * min(len(looking), LOOKS_LOST)
        if wait.seconds > allowed + explained:
            yield (
                wait.job_id,
                f"{wait.phase}: took {wait.seconds:.2f} s; the faults meanwhile explain {explained:.1f} s of it",
            )


def _unproved(waits: Iterable[Wait]) -> Iterator[tuple[str, str]]:
    """Lanes of which too little was seen to tell anything."""
    found = list(waits)
    for lane in sorted({one.lane for one in found}):
        calm = [one for one in found if one.phase is Phase.CALM and one.lane == lane]
        if len(calm) < LEAST or any(one.seconds is None for one in calm):
            yield (
                f"the {lane} lane",
                f"{len(calm)} jobs in calm are too few, or some never succeeded: nothing is proved",
            )
        if not any(one.phase is Phase.BESIDE and one.lane == lane and one.seconds is not None for one in found):
            yield f"the {lane} lane", "not one job succeeded beside neighbours in trouble: nothing is proved"


def held_up(done_at: Mapping[str, float | None], lifted_at: float) -> Iterator[tuple[str, str]]:
    """Good jobs of an instance with one refused job: they must have ended while the refusals went on."""
    for job_id, at in done_at.items():
        if at is None or at > lifted_at:
            yield job_id, "had not succeeded before the faults were lifted: it waited for another job that was refused"


def _allowed(waiting: Waiting, phase: Phase, lane: str) -> float | None:
    calm = [
        one.seconds
        for one in waiting.waits
        if one.phase is Phase.CALM and one.lane == lane and one.seconds is not None and not _struck(one, waiting)
    ]
    if not calm:
        return None
    calm_s = percentile([one.seconds for one in waiting.beats if one.phase is Phase.CALM] or [0.0], 50)
    machine_s = max(0.0, _beat(waiting.beats, phase) - calm_s)
    return TIMES * percentile(calm, 99) + GRACE_S + HOPS * machine_s


def _beat(beats: Iterable[Beat], phase: Phase) -> float:
    """Its slowest but one in a hundred. Under fire its median: an outage of the CRM must not excuse everything else."""
    found = [one.seconds for one in beats if one.phase is phase]
    return percentile(found, 50 if phase is Phase.FIRE else 99) if found else 0.0


def _struck(wait: Wait, waiting: Waiting) -> bool:
    """A fault explains nothing of a wait that was too long before it struck."""
    return wait.hit or bool(_outages(wait, waiting, ON_ITS_WAY_S))


def _outages(wait: Wait, waiting: Waiting, within_s: float) -> list[Outage]:
    until = wait.began + min(within_s, within_s if wait.seconds is None else wait.seconds)
    return [one for one in waiting.outages if one.since - BEFORE_S <= until and one.until + RESTART_S >= wait.began]
