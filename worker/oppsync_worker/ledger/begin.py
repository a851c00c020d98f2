"""Asking to send: the one decision that prevents duplicates (`lua/begin.lua`)."""

from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.jobs import AnyJob, UpdateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.ledger.ends import Hand
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


@dataclass(frozen=True, slots=True)
class Soon:
    """A slot is reserved, `delay_ms` ahead: ask again then."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Parked:
    """Nothing to send: the job was moved to `state`, or it was a copy of a job that is there already."""

    state: State
    why: str


Answer = Go | Soon | Parked


def begin(hand: Hand, job: AnyJob, *, horizon_ms: int) -> Call:
    """May this claim send this job? A slot at most `horizon_ms` ahead is taken on the way."""
    return Call(
        "begin",
        (
            hand.tag,
            job.job_id,
            job.kind.value,
            job.instance,
            job.lane.value,
            job.idempotency_key or "",
            job.external_ref or "",
            (job.opportunity_id or "") if isinstance(job, UpdateOpportunity) else "",
            int(job.not_before.timestamp() * 1000) if job.not_before else 0,
            int(job.deadline.timestamp() * 1000) if job.deadline else 0,
            horizon_ms,
            hand.ttl_s,
        ),
    )


def begun(answer: Any) -> Answer:
    """Read the answer to `begin`."""
    verdict = answer[0].decode()
    if verdict == "go":
        known = answer[2].decode()
        return Go(int(answer[1]), int(known) if known else None, int(answer[3]), int(answer[4]), int(answer[5]))
    if verdict == "soon":
        return Soon(int(answer[1]))
    if verdict == "settled":
        return Parked(State(answer[1].decode()), "copy")
    if verdict == "twin":
        return Parked(State.DISCARDED, "twin")
    if verdict == "lost":
        return Parked(State.UNKNOWN, "lost")
    return Parked(State(verdict), verdict)
