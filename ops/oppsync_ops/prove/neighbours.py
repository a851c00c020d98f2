"""Instances in trouble beside the judged ones, and the quiet instances whose jobs must not feel them.

| neighbour | its trouble | how its jobs must end |
|---|---|---|
| elm | ten jobs for each job of the plan, queued at the start on a small budget | succeeded, or expired |
| iris | on hold from the start; released with a big backlog while everybody watches | succeeded, or expired |
| fir | every request hangs until its deadline passes; as many in flight as it likes | succeeded, once it answers |
| gum | one column answers 403, and the oldest job wants that column | the others succeed while it goes on |
| hazel | its credential is refused for a while, then accepted; an operator releases it | succeeded |
| juniper | throttled again and again | succeeded |

Quiet instances (`QUIET`) have room in their budgets and no faults of their own. Their jobs come one at a time, evenly
spaced, in both lanes, from the calm at the start to the end of the load: what they wait is what a neighbour costs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

from oppsync_ops.prove.form import Form
from oppsync_ops.prove.planned import COLUMNS, FIELD, TITLE, VALUE, By, Fate, PlannedJob

QUIET: Final = ("quince", "rowan")
LANES: Final = ("interactive", "bulk")


class Trouble(StrEnum):
    """What ails a neighbour; the value is what people read."""

    BACKLOG = "a huge backlog on a small budget"
    HELD = "on hold, then released with a backlog"
    HANGING = "no answer to any request"
    ONE_REFUSED = "one column refused (403), the oldest job wants it"
    REVOKED = "credential refused for a while"
    THROTTLED = "throttled again and again"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of them: how many jobs it has at the start, and the requests that it may be sent."""

    instance: str
    trouble: Trouble
    jobs: int
    requests: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Phases:
    """What is judged when, in seconds from the start of the calm: calm, then neighbours, then the load under fire."""

    calm_s: float
    beside_s: float
    load_s: float

    @property
    def turn_s(self) -> float:
        """When a hold is released and a credential works again: half-way through the time beside neighbours."""
        return self.calm_s + self.beside_s / 2

    @property
    def whole_s(self) -> float:
        """All of it."""
        return self.calm_s + self.beside_s + self.load_s


FEW: Final = 45
"""Requests in a window: the product's own default."""
BACKLOG, HELD = 10, 3
"""Jobs queued at the start for each job of the plan."""
HANGING_IN_FLIGHT: Final = 400
SMALL: Final = 40
REFUSED_COLUMN: Final = COLUMNS[-1]
EXPIRE_AFTER_S: Final = 5.0
"""How much longer than the load a backlog may wait before it expires."""


def draw_neighbours(jobs: int, workers: int, *, hands: int) -> tuple[Neighbour, ...]:
    """All of them, sized with the run. `hands`: the calls that one worker has in flight."""
    return (
        Neighbour("elm", Trouble.BACKLOG, BACKLOG * jobs, FEW, 2),
        Neighbour("iris", Trouble.HELD, HELD * jobs, FEW, 2),
        Neighbour("fir", Trouble.HANGING, 2 * hands * workers, 6_000, HANGING_IN_FLIGHT),
        Neighbour("gum", Trouble.ONE_REFUSED, SMALL // 2, 120, 2),
        Neighbour("hazel", Trouble.REVOKED, SMALL, 600, 8),
        Neighbour("juniper", Trouble.THROTTLED, SMALL, 600, 8),
    )


def jobs_of(neighbour: Neighbour, seed: int, *, leads: bool) -> Iterator[PlannedJob]:
    """Its jobs, in the order in which they are handed over."""
    chance = Random(f"{seed}/{neighbour.instance}")
    fate = Fate.LATE if neighbour.trouble in {Trouble.BACKLOG, Trouble.HELD} else Fate.SUCCEEDED
    for number in range(1, neighbour.jobs + 1):
        column, its_fate = chance.choice(COLUMNS), fate
        if neighbour.trouble is Trouble.ONE_REFUSED:
            column = REFUSED_COLUMN if number == 1 else COLUMNS[0]
            its_fate = Fate.REFUSED_ALONE if number == 1 else Fate.SUCCEEDED
        yield _create(neighbour.instance, number, chance.choice(LANES), column=column, leads=leads, fate=its_fate)


def quiet_jobs(phases: Phases, form: Form, *, leads: bool) -> tuple[tuple[float, PlannedJob], ...]:
    """Each quiet job, and when it is handed over: seconds from the start of the calm."""
    count = int(phases.whole_s * form.quiet_per_s)
    return tuple(
        (
            (turn + 0.5) / form.quiet_per_s,
            # Spread over columns: of one that is longer than what may be read of it, a doubt is a person's.
            _create(
                QUIET[turn % 2],
                turn // 2 + 1,
                LANES[turn // 2 % 2],
                column=COLUMNS[turn // 2 % len(COLUMNS)],
                leads=leads,
            ),
        )
        for turn in range(count)
    )


def rules_of(neighbours: Sequence[Neighbour], phases: Phases, *, call_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """The CRM's rules for them, name and rule, from the moment when they move in. Quiet instances are spared."""
    for one in neighbours:
        mine = {"instance": one.instance}
        match one.trouble:
            case Trouble.HANGING:
                yield f"{one.instance}: no answer", {"action": "slow", "ms": 2_000 * call_s, "commit": "never", **mine}
            case Trouble.ONE_REFUSED:
                # Writing alone: where the column may not be read either, a create whose answer is lost is a person's.
                only = {"path": "/crmopportunity*", "column": REFUSED_COLUMN}
                refusal = {"action": "http", "status": 403, "msg": "Forbidden", **only}
                yield f"{one.instance}: 403 for one column", {**refusal, **mine}
            case Trouble.REVOKED:
                until_s = phases.turn_s - phases.calm_s
                yield f"{one.instance}: credential refused", {"action": "token_revoked", "to_s": until_s, **mine}
            case Trouble.THROTTLED:
                burst = {"action": "throttle_burst", "n": 3, "p": 0.3, "times": 40}
                yield f"{one.instance}: throttled", {**burst, **mine}
            case _:
                continue


def spare(instances: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rules that let calls pass, in front of those that would strike them: the first that matches wins."""
    for instance in instances:
        yield f"{SPARED}{instance}", {"action": "slow", "ms": 0, "commit": "start", "instance": instance}


SPARED: Final = "spared: "
"""How the names of rules begin that do nothing."""


def _create(
    instance: str, number: int, lane: str, *, column: int, leads: bool, fate: Fate = Fate.SUCCEEDED
) -> PlannedJob:
    return PlannedJob(
        instance=instance,
        number=number,
        version=0,
        at=0.0,
        by=By.CREATE,
        lane=lane,
        reference=None,
        changes=(TITLE, VALUE, FIELD),
        lead_id=1_000 + number if leads else None,
        column=column,
        fate=fate,
    )
