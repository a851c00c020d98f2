"""Asking to send: the one decision that prevents duplicates (`lua/begin.lua`)."""

import math
from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import State
from oppsync_worker.contract.wire import digest
from oppsync_worker.ledger.ends import Hand
from oppsync_worker.ledger.enqueuing import described
from oppsync_worker.ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Go:
    """Recorded as sending: send now. `age_ms` counts from enqueueing, on Redis' clock; `opportunity_id` for updates."""

    attempt: int
    opportunity_id: int | None
    age_ms: int
    replays: int
    trying_ms: int = 0
    """Since the first attempt: what the retry policy's time is counted from; a job may wait long for its turn."""
    overwritten: tuple[str, ...] = ()
    """Fields of a replayed update (see `Job.written`) that newer updates have written since: not to be sent."""
    asked_at: float = math.inf
    """When this process asked, on its monotonic clock."""
    counted_at: int = 0
    """When it was counted, on Redis' clock, in ms."""


@dataclass(frozen=True, slots=True)
class Soon:
    """A slot is reserved, `delay_ms` ahead: ask again then."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Parked:
    """Nothing to send: the job was moved to `state`, or it was a copy of a job that is there already."""

    state: State
    why: str


@dataclass(frozen=True, slots=True)
class Stale:
    """This very question, or a later one, has been answered before. Who did not hear the answer asks anew."""


Answer = Go | Soon | Parked | Stale


def begin(
    hand: Hand, job: AnyJob, *, horizon_ms: int, number: int, marker_field: str | None = None, own: bool = False
) -> Call:
    """May this claim send this job? A slot at most `horizon_ms` ahead is taken on the way.

    `number` is higher than that of every question before it about the same claim: one that a link delivers late changes
    nothing.
    `own` says that one of our producers wrote the message: what it asks for was compared when it was enqueued.
    `marker_field` is what a create bears its marker in: whoever looks for its record must look there, whatever the
    instance's settings say by then.
    """
    return Call(
        "begin",
        (
            hand.tag,
            *described(job),
            horizon_ms,
            hand.ttl_s,
            number,
            "" if own else digest(job),
            *(job.written() if job.kind is Kind.UPDATE else (marker_field or "",)),
        ),
    )


def left_late(instance: str, *, counted_at: int, late_ms: int) -> Call:
    """A request left so much later than it was counted: from then on its window is as much longer."""
    return Call("late", (instance, counted_at, late_ms))


def begun(answer: Any) -> Answer:
    """Read the answer to `begin`."""
    verdict = answer[0].decode()
    if verdict == "go":
        known = answer[2].decode()
        age_ms, replays, trying_ms = (int(figure) for figure in answer[3:6])
        names = tuple(name.decode() for name in answer[6])
        return Go(
            int(answer[1]), int(known) if known else None, age_ms, replays, trying_ms, names, counted_at=int(answer[7])
        )
    if verdict == "soon":
        return Soon(int(answer[1]))
    if verdict == "stale":
        return Stale()
    # Nothing to send: what becomes of the message, and the word that says why.
    parked = {
        "settled": (State(answer[1].decode()) if verdict == "settled" else State.UNKNOWN, "copy"),
        "twin": (State.DISCARDED, "twin"),
        "conflict": (State.DEAD, "conflict"),
        "superseded": (State.DISCARDED, "superseded"),
        "lost": (State.UNKNOWN, "lost"),
    }
    return Parked(*parked[verdict]) if verdict in parked else Parked(State(verdict), verdict)
