"""Drawing the faults that the driver commits: what, when, and to whom."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from oppsync_ops.prove.form import Form


class Fault(StrEnum):
    """What the driver can do; the value is what people read."""

    KILL = "worker killed (SIGKILL)"
    ROLLING = "workers restarted one by one (SIGTERM)"
    REDIS_KILL = "Redis killed (SIGKILL) and started again"
    CLIENT_KILL = "connections ended by CLIENT KILL"
    REDIS_CUT = "a worker's link to Redis cut"
    REDIS_HALF_OPEN = "a worker's link to Redis half-open"
    REDIS_REFUSED = "a worker refused by Redis"
    CRM_CUT = "a worker's link to the CRM cut"
    CRM_HALF_OPEN = "a worker's link to the CRM half-open"
    CRM_REFUSED = "nobody listens at the CRM"
    CLOCK = "a worker's clock jumped"
    KILLER = "worker killed for what it was sending"
    """Not drawn: whoever sends the one job that takes its workers down."""


@dataclass(frozen=True, slots=True)
class Often:
    """How often a fault is committed in a run."""

    least: int
    per_minute: float

    def times(self, minutes: float) -> int:
        """In a run of that length."""
        return max(self.least, round(self.per_minute * minutes))


OFTEN: Final = {
    Fault.KILL: Often(4, 1.5),
    Fault.ROLLING: Often(1, 0.3),
    Fault.REDIS_KILL: Often(1, 0.4),
    Fault.CLIENT_KILL: Often(2, 1.0),
    Fault.REDIS_CUT: Often(2, 1.0),
    Fault.REDIS_HALF_OPEN: Often(1, 0.5),
    Fault.REDIS_REFUSED: Often(1, 0.3),
    Fault.CRM_CUT: Often(1, 0.6),
    Fault.CRM_HALF_OPEN: Often(1, 0.4),
    Fault.CRM_REFUSED: Often(1, 0.3),
    Fault.CLOCK: Often(2, 0.5),
}
FIRST_AT, LAST_AT = 0.08, 0.96
"""Fractions of the load between which faults are committed."""
JUMP_S: Final = 3600.0
"""How far a clock jumps: forward or back, as the seed says, and back to the truth the next time."""
DOWN_S: Final = (0.3, 3.0)
"""How long Redis, or who refuses, is away."""
SPARED: Final = 0
"""The worker that is never killed or restarted, so that somebody lives long enough for a memory leak to show."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One deed of the driver."""

    fault: Fault
    at: float
    """A fraction of the load."""
    worker: int | None = None
    lasts_s: float = 0.0
    ends_cut: bool = False
    """A half-open link is cut in the end, and what was on its way is lost; otherwise it arrives late."""


def draw_faults(seed: int, form: Form, *, minutes: float, workers: int) -> tuple[PlannedFault, ...]:
    """All of a run, in order of time."""
    chance = Random(f"{seed}/faults")
    found = [one for fault, often in OFTEN.items() for one in _some(fault, often.times(minutes), chance, form, workers)]
    return tuple(sorted(found, key=lambda one: (one.at, one.fault)))


def _some(fault: Fault, times: int, chance: Random, form: Form, workers: int) -> Iterator[PlannedFault]:
    for turn in range(times):
        # Each in a stretch of its own, so that no luck of the draw crowds them at one end.
        at = FIRST_AT + (LAST_AT - FIRST_AT) * (turn + chance.random()) / times
        anybody, somebody = chance.randrange(workers), chance.randrange(1, workers)
        down_s = chance.uniform(*DOWN_S)
        match fault:
            case Fault.KILL:
                yield PlannedFault(fault, at, worker=somebody)
            case Fault.CLOCK:
                yield PlannedFault(fault, at, worker=jumper(workers))
            case Fault.REDIS_CUT:
                yield PlannedFault(fault, at, worker=anybody)
            case Fault.REDIS_HALF_OPEN:
                ends_cut = chance.random() < 0.5  # noqa: PLR2004 - even odds
                yield PlannedFault(fault, at, worker=anybody, lasts_s=form.half_open_s, ends_cut=ends_cut)
            case Fault.REDIS_REFUSED:
                yield PlannedFault(fault, at, worker=anybody, lasts_s=down_s)
            case Fault.CRM_CUT:
                yield PlannedFault(fault, at, worker=_proxied(anybody, workers))
            case Fault.CRM_HALF_OPEN:
                # What is on its way must not arrive in a heap at the end: that would be the proxy's doing, and the
                # budget is counted at the CRM.
                yield PlannedFault(
                    fault, at, worker=_proxied(anybody, workers), lasts_s=form.half_open_s, ends_cut=True
                )
            case Fault.REDIS_KILL | Fault.CRM_REFUSED:
                yield PlannedFault(fault, at, lasts_s=down_s)
            case _:
                yield PlannedFault(fault, at)


def jumper(workers: int) -> int:
    """The worker whose clock jumps."""
    return workers - 1


def jump_s(seed: int) -> float:
    """How far."""
    return Random(f"{seed}/clock").choice((-JUMP_S, JUMP_S))


def has_crm_proxy(worker: int) -> bool:
    """Every second worker reaches the CRM through a proxy; the others are told the truth when nobody listens there."""
    return worker % 2 == 1


def _proxied(worker: int, workers: int) -> int:
    return worker if has_crm_proxy(worker) else (worker + 1 if worker + 1 < workers else 1)
