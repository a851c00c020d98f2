"""The ends of an attempt. Each is one script that acknowledges the claim, changes the ledger and takes effect."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from oppsync_worker.contract.errors import told
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.ledger.scripts import Argument, Call
from oppsync_worker.version import release

CREDENTIAL_REFUSALS = 3
"""Rounds of refusals, of different jobs and with no success in between, before a credential is called bad: single stray
401s were seen by integrators."""

NOT_REPLICATED_PAUSE_MS: Final = 2_000
"""How long a job waits when replicas did not keep up: they are asked for each request anew."""

CREDENTIAL_PAUSE_MS = 5_000
"""Pause of the instance between such rounds, once different jobs were refused."""

REFUSED_JOB_PAUSE_MS = 10_000
"""Pause of a job after its first refusal, doubled by each further one: longer than the instance's, so that others are
tried before it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try against the CRM, as it is kept in the job's history: no body, no header, no personal data."""

    at: str
    number: int
    duration_ms: int
    status: int | None
    error: str | None
    message: str | None

    def as_json(self) -> str:
        """The history's line."""
        return json.dumps(
            {
                "at": self.at,
                "attempt": self.number,
                "ms": self.duration_ms,
                "status": self.status,
                "error": self.error,
                "message": self.message,
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True, slots=True)
class Effects:
    """What a request did besides: to its instance, and to the record that it changes."""

    answers: bool | None = None
    """Whether the instance works: what opens and closes its breaker. None when the request does not tell."""
    wrote: tuple[str, ...] = ()
    """Fields (see `Job.written`) that it wrote or may have written: an older update must not be replayed over them."""
    unsure: bool = False
    """SprintHub may still carry it out: the record's next update waits for a while."""

    def given(self) -> "dict[str, Argument | None]":
        """As the scripts want it."""
        return {
            "beat": None if self.answers is None else int(self.answers),
            "wrote": json.dumps(self.wrote) if self.wrote else None,
            "unsure": 1 if self.unsure else None,
        }


NOTHING: Final = Effects()


@dataclass(frozen=True, slots=True)
class Marker:
    """What a create's own answer shows of its marker; `lands` is None when it shows nothing."""

    funnel_id: int
    lands: bool | None

    def given(self) -> "dict[str, Argument | None]":
        """As the scripts want it."""
        if self.lands is None:
            return {}
        return {"funnel": self.funnel_id, "marker": "lands" if self.lands else "lost"}


@dataclass(frozen=True, slots=True)
class Hand:
    """Who settles: the claim's tag and the job it is for, with how long (seconds) its outcome is to be kept."""

    tag: str
    job_id: str
    ttl_s: int


def arguments(given: Mapping[str, Argument | None]) -> list[Argument]:
    """Names and values in turns, without what is not known."""
    return [part for name, value in given.items() if value is not None for part in (name, value)]


SENTENCE_CHARS: Final = 1_500
"""Longest sentence that is kept of why a job died: a stranger's fields may be quoted in it."""


def result_json(result: Mapping[str, Any]) -> str:
    """An outcome as Celery's result backend keeps it."""
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def _settle(hand: Hand, to: State, given: Mapping[str, Argument | None], effects: Effects = NOTHING) -> Call:
    pairs = arguments({**given, **effects.given()})
    return Call("settle", (hand.tag, hand.job_id, to.value, hand.ttl_s, *pairs))


def succeed(
    hand: Hand,
    *,
    opportunity_id: int,
    result: Mapping[str, Any],
    attempt: Attempt | None = None,
    effects: Effects = NOTHING,
    marker: Marker | None = None,
) -> Call:
    """The CRM has it: the outcome is written as Celery's result, updates that waited for the record go on.

    `marker` is given for creates only. A record that bears none is remembered as this job's, so that no other job takes
    it for its own.
    """
    given: dict[str, Argument | None] = {"opportunity_id": opportunity_id, "result": result_json(result)}
    given["attempt"] = attempt.as_json() if attempt else None
    if marker is not None:
        given |= {**marker.given(), "unmarked": None if marker.lands else 1}
    return _settle(hand, State.SUCCEEDED, given, effects)


class PutBack(Protocol):
    """What is known of a job that its task wants tried again, perhaps before anybody looked at it."""

    kind: str
    instance: str
    lane: str


def reschedule(
    hand: Hand, *, delay_ms: int, attempt: Attempt, effects: Effects = NOTHING, put_back: PutBack | None = None
) -> Call:
    """Try again in `delay_ms`, counted on Redis' clock; `put_back` counts it as one that the job's task asked for."""
    given: dict[str, Argument | None] = {
        "delay": delay_ms,
        "attempt": attempt.as_json(),
        "cause": attempt.error,
        "detail": attempt.message,
    }
    if put_back:
        given |= {"put_back": 1, "kind": put_back.kind, "instance": put_back.instance, "lane": put_back.lane}
    return _settle(hand, State.SCHEDULED, given, effects)


def wait(hand: Hand, *, cool_down_ms: int, limit: int | None, attempt: Attempt) -> Call:
    """Throttled: the instance cools down on every worker, the job waits for a slot, no attempt is spent."""
    return _settle(
        hand,
        State.WAITING,
        {
            "cool_ms": cool_down_ms,
            "limit": limit,
            "refund": 1,
            "attempt": attempt.as_json(),
            "cause": "throttled",
            "detail": attempt.message,
        },
    )


def refuse_credential(
    hand: Hand, *, fingerprint: str, attempt: Attempt, max_refusals: int = 5, max_delay_ms: int = 900_000
) -> Call:
    """Refused with 401 or 403: the instance is held when different jobs are, and a job that alone is refused dies.

    Args:
        hand: the claim.
        fingerprint: of the credential, so that another one lifts the hold.
        attempt: for the job's history.
        max_refusals: how often the job alone may be refused while others succeed; then it is dead as `refused`.
        max_delay_ms: longest time until it is tried again.
    """
    said = attempt.message if attempt.status is None else f"HTTP {attempt.status}: {attempt.message}"
    return _settle(
        hand,
        State.HELD,
        {
            "refusals": CREDENTIAL_REFUSALS,
            "cool_ms": CREDENTIAL_PAUSE_MS,
            "own_pause_ms": REFUSED_JOB_PAUSE_MS,
            "most_delay_ms": max_delay_ms,
            "most_alone": max_refusals,
            "dead_version": release(),
            "refund": 1,
            "attempt": attempt.as_json(),
            "cause": "credential",
            "detail": said,
            "hold_note": said,
            "fingerprint": fingerprint,
        },
    )


def hold_unknown_instance(hand: Hand, *, kind: str, instance: str, lane: str) -> Call:
    """This worker has no credential for the instance: the job is kept until one that has comes."""
    return _settle(
        hand,
        State.HELD,
        {
            "cause": "unknown_instance",
            "detail": f"no worker has settings for the instance {instance!r}",
            "kind": kind,
            "instance": instance,
            "lane": lane,
        },
    )


def bury(
    hand: Hand,
    *,
    cause: Cause,
    detail: str,
    attempt: Attempt | None = None,
    kind: str | None = None,
    instance: str | None = None,
    effects: Effects = NOTHING,
) -> Call:
    """Move the job to the dead letters; its whole message goes along."""
    return _settle(
        hand,
        State.DEAD,
        {
            "cause": cause.value,
            "detail": told(detail, SENTENCE_CHARS),
            "attempt": attempt.as_json() if attempt else None,
            "version": release(),
            "kind": kind and told(kind, SENTENCE_CHARS),
            "instance": instance and told(instance, SENTENCE_CHARS),
        },
        effects,
    )


def doubt(hand: Hand, *, attempt: Attempt, effects: Effects = NOTHING) -> Call:
    """A create was sent and its answer is unknown: parked, never re-sent blindly."""
    return _settle(
        hand,
        State.IN_DOUBT,
        {"attempt": attempt.as_json(), "cause": "answer_lost", "detail": attempt.message},
        effects,
    )


def not_replicated(hand: Hand) -> Call:
    """Begun, but too few replicas have taken note in time: nothing was sent, and no attempt is spent."""
    said = "too few replicas of Redis took note in time that it was to be sent; nothing was sent"
    return _settle(
        hand,
        State.SCHEDULED,
        {"delay": NOT_REPLICATED_PAUSE_MS, "refund": 1, "cause": "not_replicated", "detail": said},
    )


def not_begun(hand: Hand, *, kind: str, instance: str, lane: str) -> Call:
    """Redis did not say in time whether the job might be sent, so it was not: it goes back to where it waits.

    True even when the question was answered and nobody heard it: such a job is recorded as sending, or in doubt by now.
    Whoever tells this never sends under this claim.
    """
    return _settle(
        hand,
        State.WAITING,
        {
            "refund": 1,
            "cause": "not_begun",
            "detail": "Redis did not say in time whether it might be sent; nothing was sent",
            "kind": kind,
            "instance": instance,
            "lane": lane,
        },
    )


def ended(answer: Any) -> State | None:
    """The state the job is in now; None when the claim was stale and nothing changed."""
    word = answer.decode() if isinstance(answer, bytes) else str(answer)
    return None if word == "lost" else State(word)
