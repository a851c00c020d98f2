"""What the state machine draws: jobs, answers, and what a life is about."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from oppsync import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.ledger import ends
from oppsync_worker.ledger.scripts import Call

INSTANCES = ["acme", "globex"]
TTL_S = 86_400
A_MINUTE_MS = 60_000

SEEN = ["again", "again", "more", "person", "adopt", "adopt", "resend", "bury"]
"""What a look-up comes to."""

ANY = st.integers(0, 999)
"""Which one of however many there are."""


class Focus(StrEnum):
    """What one life is about: chance alone seldom brings together what must meet."""

    EVERYTHING = "everything"
    RECORD = "record"
    """Updates of one record."""
    FAILING = "failing"
    """An instance that mostly fails."""


@dataclass(slots=True)
class Claim:
    """A message in a worker's hands."""

    tag: str
    job: AnyJob
    sent: bool = False
    due: float = 0.0
    number: int = 0
    fields: tuple[str, ...] = ()
    """What an update sends of its fields, and its place in its record's order."""

    @property
    def hand(self) -> ends.Hand:
        """Who settles it."""
        return ends.Hand(self.tag, self.job.job_id, TTL_S)


@st.composite
def drafts(draw: st.DrawFn) -> AnyJob:
    """A job but for its id: any kind, lane and instance, often under one of a few keys, references and records."""
    creates = draw(st.booleans())
    document: dict[str, Any] = {
        "instance": draw(st.sampled_from(INSTANCES)),
        "lane": draw(st.sampled_from(["interactive", "bulk"])),
        "funnel_id": 7,
        "title": "Deal",
    }
    if draw(st.integers(0, 2)) == 0:
        document["idempotency_key"] = f"key-{draw(st.integers(0, 2))}"
    if draw(st.booleans()):
        document["external_ref"] = f"ref-{draw(st.integers(0, 2))}"
    when = draw(st.integers(0, 9))
    if when == 0:
        document["not_before"] = "2100-01-01T00:00:00Z"
    elif when == 1:
        document["deadline"] = draw(st.sampled_from(["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]))
    if creates:
        return CreateOpportunity.parse({**document, "crm_column": 130})
    if "external_ref" not in document:
        document["opportunity_id"] = draw(st.integers(5, 6))
    if draw(st.booleans()):
        document["value"] = "1.00"
    if draw(st.booleans()):
        document |= {"fields": {"A": "x"}, "title": None}
    return UpdateOpportunity.parse({name: value for name, value in document.items() if value is not None})


End = tuple[Call, bool | None]
"""The end of an attempt, and whether the CRM carried it out; None when nobody knows."""

_ATTEMPT = ends.Attempt("", 1, 1, 500, "E", "said")


def _lost(claim: Claim) -> ends.Effects:
    return ends.Effects(answers=False, wrote=claim.fields, unsure=True)


def _succeed(claim: Claim) -> End:
    creates = isinstance(claim.job, CreateOpportunity)
    call = ends.succeed(
        claim.hand,
        opportunity_id=100 + int(claim.job.job_id.removeprefix("job-")),
        result={},
        effects=ends.Effects(answers=True, wrote=claim.fields),
        marker=ends.Marker(7, lands=True) if creates else None,
    )
    return call, True


def _retry(claim: Claim) -> End:
    if isinstance(claim.job, CreateOpportunity):
        return ends.doubt(claim.hand, attempt=_ATTEMPT, effects=ends.Effects(answers=False)), None
    return ends.reschedule(claim.hand, delay_ms=A_MINUTE_MS, attempt=_ATTEMPT, effects=_lost(claim)), None


def _exhaust(claim: Claim) -> End:
    if isinstance(claim.job, CreateOpportunity):
        return _retry(claim)
    return ends.bury(claim.hand, cause=Cause.EXHAUSTED, detail="", attempt=_ATTEMPT, effects=_lost(claim)), None


def _unsent(claim: Claim) -> End:
    unsent = ends.Effects(answers=False)
    return ends.reschedule(claim.hand, delay_ms=A_MINUTE_MS, attempt=_ATTEMPT, effects=unsent), False


def _wait(claim: Claim) -> End:
    return ends.wait(claim.hand, cool_down_ms=A_MINUTE_MS, limit=None, attempt=_ATTEMPT), False


def _briefly(claim: Claim) -> End:
    return ends.wait(claim.hand, cool_down_ms=1_000, limit=None, attempt=_ATTEMPT), False


def _refuse(claim: Claim) -> End:
    return ends.refuse_credential(claim.hand, fingerprint="one", attempt=_ATTEMPT), False


def _refuse_for_good(claim: Claim) -> End:
    return ends.refuse_credential(claim.hand, fingerprint="one", attempt=_ATTEMPT, max_refusals=1), False


def _bury(claim: Claim) -> End:
    answers = ends.Effects(answers=True)
    return ends.bury(claim.hand, cause=Cause.REJECTED, detail="", attempt=_ATTEMPT, effects=answers), False


ENDINGS: dict[str, Callable[[Claim], End]] = {
    "succeed": _succeed,
    "retry": _retry,
    "exhaust": _exhaust,
    "unsent": _unsent,
    "wait": _wait,
    "briefly": _briefly,
    "refuse": _refuse,
    "refuse for good": _refuse_for_good,
    "bury": _bury,
}
ANSWERS = ["succeed", *ENDINGS]
"""What the CRM answers; success more often than the rest."""
