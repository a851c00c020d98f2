"""From an error to a verdict: what becomes of the job. The rim performs it; nothing is decided there.

| error | verdict |
|---|---|
| Throttled | `Defer`: the instance cools down, no attempt spent |
| CredentialRefused | `HoldInstance`: no attempt spent; the ledger tells the credential's fault from the job's |
| Rejected | `Bury` as rejected |
| AnswerLost | `Doubt` |
| NotSent, Unavailable | `Retry`, until attempts or time are used up: then `Bury` as exhausted |
"""

from dataclasses import dataclass

from oppsync_worker.contract.states import Cause
from oppsync_worker.errors import AnswerLost, AttemptError, CredentialRefused, NotSent, Rejected, Throttled, Unavailable
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.policy.backoff import LEAST_DELAY_S, delay_s

LEAST_PAUSE_S = 1.0
"""A throttle pauses the instance for a second at least, even if the CRM asks for less: no attempt is spent on it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Defer:
    """Wait for a slot after the instance's cool-down of `cool_down_s` seconds; `limit` is what the CRM disclosed."""

    cool_down_s: float
    limit: int | None


@dataclass(frozen=True, slots=True)
class HoldInstance:
    """Refused with 401 or 403: the ledger tells whether the credential is bad, or only this job has no right."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A create whose fate is unknown: park it."""


@dataclass(frozen=True, slots=True)
class Bury:
    """No further attempt."""

    cause: Cause
    detail: str


Verdict = Retry | Defer | HoldInstance | Doubt | Bury


def decide(error: AttemptError, instance: InstanceSettings, *, attempt: int, age_s: float, draw: float) -> Verdict:
    """What becomes of a job after attempt number `attempt` of it failed, `age_s` seconds after the first."""
    match error:
        case Throttled():
            return Defer(pause_s(error, instance, draw=draw), error.limit)
        case CredentialRefused():
            return HoldInstance()
        case Rejected():
            return Bury(Cause.REJECTED, str(error))
        case AnswerLost():
            return Doubt()
        case NotSent() | Unavailable():
            return _retry(error, instance, attempt=attempt, age_s=age_s, draw=draw)
    # An error without a verdict is our bug; the architecture tests look for one.
    raise TypeError(f"no verdict for {type(error).__name__}")


def pause_s(error: Throttled, instance: InstanceSettings, *, draw: float) -> float:
    """How long an instance is left alone after a throttle: as configured, or as it asked within bounds."""
    budget, asked = instance.budget, error.retry_after_s
    if asked is None:
        return budget.cool_down_seconds * (1 + 0.1 * draw)
    return min(max(asked, LEAST_PAUSE_S) * (1 + 0.1 * draw), max(budget.max_pause_seconds, LEAST_PAUSE_S))


def _retry(error: AttemptError, instance: InstanceSettings, *, attempt: int, age_s: float, draw: float) -> Verdict:
    settings = instance.retry
    if attempt >= settings.max_attempts:
        return Bury(Cause.EXHAUSTED, f"{attempt} attempts; the last: {error}")
    if age_s >= settings.max_age_seconds:
        return Bury(
            Cause.EXHAUSTED, f"older than {settings.max_age_seconds:g} s after {attempt} attempts; the last: {error}"
        )
    # However long the CRM wants to be left alone, the last attempt comes no later than the end of the job's time.
    delay = delay_s(attempt, settings, draw=draw, retry_after_s=error.retry_after_s)
    return Retry(max(min(delay, settings.max_age_seconds - age_s), LEAST_DELAY_S))
