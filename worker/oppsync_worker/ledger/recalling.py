"""Telling a ledger that forgot (a promoted replica) of a request that was really sent (`lua/recall.lua`)."""

from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.errors import InvalidJob
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import State
from oppsync_worker.contract.wire import digest, encode
from oppsync_worker.ledger.ends import arguments, ended
from oppsync_worker.ledger.scripts import Argument, Call


@dataclass(frozen=True, slots=True)
class Sent:
    """All that a worker knows of a request that has left: what a ledger that forgot it needs to know."""

    job: AnyJob
    """As it was enqueued."""
    lease_ms: int
    marker_field: str | None = None
    attempts: int | None = None
    """How many attempts the job had, this one counted, if that is known."""
    own: bool = True
    """Whether one of our own producers wrote its message."""

    def message(self) -> str:
        """The job's message; empty for one that is too large to be written anew."""
        try:
            return encode(self.job)
        except InvalidJob:
            return ""


def as_sent(call: Call) -> Call:
    """The end of a request that has really left: where the ledger knows nothing of it, it says so."""
    return Call(call.script, (*call.arguments, "sent", 1))


def is_forgotten(answer: Any) -> bool:
    """Whether the ledger does not know the request as sent under this claim; nothing was changed."""
    return answer in (b"forgotten", "forgotten")


def recall(call: Call, sent: Sent, *, sent_ms_ago: int) -> Call:
    """Tell a ledger that forgot of a request what it has forgotten; `call` is the end that is to be settled."""
    tag, job_id, to, _, *pairs = call.arguments
    end = dict(zip(pairs[::2], pairs[1::2], strict=True))
    job = sent.job
    given: dict[str, Argument | None] = {
        "kind": job.kind.value,
        "instance": job.instance,
        "lane": job.lane.value,
        "key": job.idempotency_key,
        "ref": job.external_ref,
        "target": job.target,
        "deadline": milliseconds(job.deadline) or None,
        "digest": digest(job),
        "marker_field": sent.marker_field,
        "attempts": sent.attempts,
        "foreign": None if sent.own else 1,
        "opportunity_id": end.get("opportunity_id"),
        "wrote": end.get("wrote"),
        "unsure": end.get("unsure"),
    }
    return Call("recall", (tag, job_id, to, sent.lease_ms, sent_ms_ago, sent.message(), *arguments(given)))


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a ledger that forgot makes of an end.

    `settle` says that it can be settled now. With `surplus` the job has succeeded already, with the record `other`, or
    was dropped, or another was sent under its idempotency key: one record is too many, or may be.
    """

    settle: bool = False
    state: State | None = None
    surplus: bool = False
    other: int | None = None


def recalled(answer: Any) -> Recalled:
    """Read the answer to `recall`."""
    word, *more = (part.decode() for part in answer if part is not None)
    other = int(more[0]) if more and more[0] else None
    match word:
        case "recalled":
            return Recalled(settle=True, surplus=bool(more), other=other)
        case "surplus":
            return Recalled(surplus=True, other=other)
    return Recalled(state=ended(word))
