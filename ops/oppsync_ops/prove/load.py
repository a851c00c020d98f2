"""Drawing the jobs: which records there are, what is done to each of them, and when."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from typing import Final

from oppsync_ops.prove.planned import COLUMNS, FIELD, TITLE, VALUE, By, Fate, PlannedJob

INSTANCES: Final = ("alder", "birch", "cedar", "dogwood")
TIGHT: Final = INSTANCES[0]
"""The instance with so much to do that its budget is used up: nothing is proved about a budget with room in it."""
SHARES: Final = (0.34, 0.22, 0.22, 0.22)

LAST_CREATE: Final = 0.85
"""No record is begun later than this fraction of the load, so that its updates come under fire too."""
SHARED_LEADS: Final = 20
FRESH_LEADS_FROM: Final = 10_000
UPDATES: Final = (0, 1, 2, 3, 4, 6)
UPDATE_WEIGHTS: Final = (30, 22, 18, 14, 10, 6)
GAPS: Final = (0.0, 0.002, 0.03, 0.15)
"""Time between a record's jobs, as a fraction of the load: at once, soon, or when the one before is long done."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of all creates, or of all updates."""

    with_reference: float = 0.85
    interactive: float = 0.3
    shared_lead: float = 0.4
    foreign: float = 0.1
    twice: float = 0.03
    refused: float = 0.01
    by_id: float = 0.3
    """Of the updates of a record that has a reference; all others are by id."""


MIX: Final = Mix()


def draw_jobs(seed: int, count: int, *, leads: bool, killer: bool) -> tuple[PlannedJob, ...]:
    """So many jobs, in the order in which they are handed over. `leads`: whether creates name theirs."""
    chance = Random(f"{seed}/jobs")  # a text, so that no two kinds of draws share a stream
    jobs: list[PlannedJob] = []
    number = 0
    while len(jobs) < count:
        number += 1
        jobs.extend(_record(chance, number, leads=leads))
    jobs = jobs[:count]
    if killer:
        jobs += _killer(number + 1, leads=leads)
    return tuple(sorted(jobs, key=lambda job: (job.at, job.number, job.version)))


def _record(chance: Random, number: int, *, leads: bool) -> Iterator[PlannedJob]:
    instance = _pick(chance)
    at = chance.uniform(0, LAST_CREATE)
    reference = f"order-{number}" if chance.random() < MIX.with_reference else None
    shared = chance.random() < MIX.shared_lead
    lead_id = chance.randint(1, SHARED_LEADS) if shared else FRESH_LEADS_FROM + number
    refused = chance.random() < MIX.refused
    yield PlannedJob(
        instance=instance,
        number=number,
        version=0,
        at=at,
        by=By.CREATE,
        lane=_lane(chance),
        reference=reference,
        changes=(TITLE, VALUE, FIELD),
        lead_id=lead_id if leads else None,
        column=chance.choice(COLUMNS),
        foreign=chance.random() < MIX.foreign,
        twice=chance.random() < MIX.twice,
        fate=Fate.REFUSED if refused else Fate.SUCCEEDED,
    )
    if refused:
        return
    updates = chance.choices(UPDATES, UPDATE_WEIGHTS)[0]
    for version in range(1, updates + 1):
        at = min(1.0, at + chance.choice(GAPS))
        yield PlannedJob(
            instance=instance,
            number=number,
            version=version,
            at=at,
            by=By.REFERENCE if reference and chance.random() >= MIX.by_id else By.ID,
            lane=_lane(chance),
            reference=reference,
            changes=(TITLE, *(name for name in (VALUE, FIELD) if chance.random() < 0.5)),  # noqa: PLR2004 - even odds
            twice=chance.random() < MIX.twice,
        )


def _killer(number: int, *, leads: bool) -> list[PlannedJob]:
    """A record of its own, and an update of it that no worker survives. Interactive: one worker serves bulk only."""
    instance, reference = INSTANCES[-1], f"order-{number}"
    create = PlannedJob(
        instance=instance,
        number=number,
        version=0,
        at=0.02,
        by=By.CREATE,
        lane="interactive",
        reference=reference,
        changes=(TITLE, VALUE, FIELD),
        lead_id=FRESH_LEADS_FROM + number if leads else None,
        column=COLUMNS[0],
    )
    changed = {"version": 1, "at": 0.06, "by": By.REFERENCE, "lead_id": None, "column": None}
    update = replace(create, **changed, changes=(TITLE,), fate=Fate.POISON)  # type: ignore[arg-type]
    return [create, update]


def _lane(chance: Random) -> str:
    return "interactive" if chance.random() < MIX.interactive else "bulk"


def _pick(chance: Random) -> str:
    drawn = chance.random() * sum(SHARES)
    for instance, until in zip(INSTANCES, accumulate(SHARES), strict=True):
        if drawn < until:
            return instance
    return INSTANCES[-1]
