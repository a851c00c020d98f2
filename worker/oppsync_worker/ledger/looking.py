"""Looking into a doubt: leave for one look-up, and what it has brought (`lua/look.lua`, `lua/looked.lua`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oppsync_worker.contract.states import Cause, State
from oppsync_worker.ledger.ends import Effects, arguments, result_json
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.scripts import Argument, Call
from oppsync_worker.version import release


@dataclass(frozen=True, slots=True)
class LookNow:
    """Counted as a request, at `counted_at` on Redis' clock (ms): send it now."""

    counted_at: int = field(default=0, compare=False)
    absences: int = field(default=0, compare=False)
    """How often the create was proved absent before, since its enqueueing or its last replay."""
    asked_at: float = field(default=math.inf, compare=False)
    """When this process asked, on its monotonic clock."""


@dataclass(frozen=True, slots=True)
class LookSoon:
    """Ask again in so many milliseconds."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class LookNever:
    """Not with this token: it waits for another slot, somebody else looks, or the doubt is over."""


Leave = LookNow | LookSoon | LookNever


@dataclass(frozen=True, slots=True)
class Told:
    """What is written of one look-up besides what follows from it."""

    history: str
    """JSON line of the job's history."""
    effects: Effects
    sightings: str | None = None
    """JSON of the records that may be it, for whoever has to decide."""
    cool_down_ms: int | None = None
    limit: int | None = None


def may_look(look: Look, *, horizon_ms: int) -> Call:
    """May this look-up be sent now?"""
    return Call("look", (look.job_id, look.token, horizon_ms))


def leave(answer: Any) -> Leave:
    """Read the answer to `may_look`."""
    match answer[0]:
        case b"go":
            return LookNow(int(answer[1]), int(answer[2]))
        case b"soon":
            return LookSoon(int(answer[1]))
    return LookNever()


def again(look: Look, told: Told, *, inquiry: str, delay_ms: int) -> Call:
    """The doubt stands; look again in `delay_ms`."""
    return _looked(look, State.IN_DOUBT, 0, told, {"inquiry": inquiry, "delay": delay_ms})


def ask_person(look: Look, told: Told, *, inquiry: str, why: str) -> Call:
    """The doubt stands, and nothing more happens by itself."""
    return _looked(
        look, State.IN_DOUBT, 0, told, {"inquiry": inquiry, "person": 1, "cause": "undecided", "detail": why}
    )


def adopt(
    look: Look, told: Told, *, opportunity_id: int, result: Mapping[str, Any], unmarked: bool, ttl_s: int
) -> Call:
    """The record is the job's. Answers `taken` when it is known to be another job's."""
    given: dict[str, Argument | None] = {"opportunity_id": opportunity_id, "result": result_json(result)}
    return _looked(look, State.SUCCEEDED, ttl_s, told, {**given, "unmarked": 1 if unmarked else None})


def recall_adopted(look: Look, told: Told, *, opportunity_id: int, result: Mapping[str, Any], ttl_s: int) -> Call:
    """The same as the end of a request that was sent: for a ledger that knows nothing of the doubt (`recalling`)."""
    pairs: dict[str, Argument | None] = {
        "opportunity_id": opportunity_id,
        "result": result_json(result),
        "attempt": told.history,
    }
    # No claim has such a tag. A token may be given twice by a ledger that forgot, but not for one job in two look-ups
    # that both found its record.
    tag = f"look-{look.token}-{look.job_id}"
    return Call("settle", (tag, look.job_id, State.SUCCEEDED.value, ttl_s, *arguments(pairs)))


def resend(look: Look, told: Told, *, why: str) -> Call:
    """It made no record: it is sent again, as another attempt."""
    return _looked(look, State.SCHEDULED, 0, told, {"delay": 0, "cause": "absent", "detail": why, "absent": 1})


def bury(look: Look, told: Told, *, detail: str) -> Call:
    """It made no record, and its attempts are used up."""
    pairs = {"cause": Cause.EXHAUSTED.value, "detail": detail, "version": release(), "absent": "1"}
    return _looked(look, State.DEAD, 0, told, pairs)


def _looked(look: Look, to: State, ttl_s: int, told: Told, given: Mapping[str, Argument | None]) -> Call:
    pairs = {
        **given,
        **told.effects.given(),
        "attempt": told.history,
        "sightings": told.sightings,
        "cool_ms": told.cool_down_ms,
        "limit": told.limit,
    }
    return Call("looked", (look.job_id, look.token, to.value, ttl_s, *arguments(pairs)))
