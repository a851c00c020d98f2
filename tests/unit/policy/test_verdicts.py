"""What becomes of a job after an error, for every error there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker import errors
from oppsync_worker.contract.states import Cause
from oppsync_worker.errors import Seen
from oppsync_worker.instances import InstanceSettings, RetrySettings
from oppsync_worker.policy.backoff import LEAST_DELAY_S, delay_s
from oppsync_worker.policy.verdicts import Bury, Defer, Doubt, HoldInstance, Retry, decide

ACME = InstanceSettings(
    name="acme", token="t", retry=RetrySettings(max_attempts=3, max_age_seconds=100, first_delay_seconds=1)
)
SEEN = Seen(500, "words")


def test_every_error_has_a_verdict() -> None:
    """Nothing that an attempt can raise is left undecided."""
    for kind in errors.AttemptError.__subclasses__():
        assert decide(kind(SEEN), ACME, attempt=1, age_s=0, draw=0.5)


def test_an_error_without_a_verdict_is_loud() -> None:
    """A new class must be given one."""

    class Novel(errors.AttemptError):
        pass

    with pytest.raises(TypeError, match="Novel"):
        decide(Novel(SEEN), ACME, attempt=1, age_s=0, draw=0)


@pytest.mark.parametrize("kind", [errors.NotSent, errors.Unavailable])
def test_transient_errors_are_retried_until_attempts_are_used_up(kind: type[errors.AttemptError]) -> None:
    """Bounded in attempts."""
    assert isinstance(decide(kind(SEEN), ACME, attempt=2, age_s=0, draw=0.5), Retry)
    assert decide(kind(SEEN), ACME, attempt=3, age_s=0, draw=0.5) == Bury(
        Cause.EXHAUSTED, "3 attempts; the last: HTTP 500: words"
    )


def test_transient_errors_are_retried_until_time_is_used_up() -> None:
    """Bounded in time: the last attempt comes at the end of the job's time, however long the CRM asks for."""
    last = decide(errors.NotSent(SEEN, retry_after_s=60), ACME, attempt=1, age_s=50, draw=0)
    over = decide(errors.NotSent(SEEN, retry_after_s=60), ACME, attempt=2, age_s=100, draw=0)

    assert last == Retry(50)
    assert isinstance(over, Bury)
    assert over.cause == Cause.EXHAUSTED


def test_a_throttle_defers_for_the_cool_down_or_what_was_asked() -> None:
    """The CRM's word comes first; its limit is passed on."""
    assert decide(errors.Throttled(SEEN, limit=50), ACME, attempt=9, age_s=1e9, draw=0) == Defer(65.0, 50)
    assert decide(errors.Throttled(SEEN, retry_after_s=0), ACME, attempt=1, age_s=0, draw=0) == Defer(1.0, None)
    assert decide(errors.Throttled(SEEN, retry_after_s=7), ACME, attempt=1, age_s=0, draw=0) == Defer(7, None)


def test_the_rest() -> None:
    """Hold, doubt, bury."""
    assert decide(errors.CredentialRefused(SEEN), ACME, attempt=9, age_s=1e9, draw=0) == HoldInstance()
    assert decide(errors.AnswerLost(SEEN), ACME, attempt=9, age_s=1e9, draw=0) == Doubt()
    assert decide(errors.Rejected(SEEN), ACME, attempt=1, age_s=0, draw=0) == Bury(Cause.REJECTED, "HTTP 500: words")


@given(attempt=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(attempt: int, draw: float) -> None:
    """Full jitter under a doubling ceiling."""
    settings = RetrySettings(first_delay_seconds=2, max_delay_seconds=900)

    delay = delay_s(attempt, settings, draw=draw, retry_after_s=None)

    assert LEAST_DELAY_S <= delay <= max(LEAST_DELAY_S, min(900, 2 * 2.0 ** min(attempt - 1, 60)))


@given(asked=st.floats(0, 86_400), draw=st.floats(0, 1, exclude_max=True))
def test_what_the_crm_asks_for_is_the_least(asked: float, draw: float) -> None:
    """Retry-After up to the ceiling, with a tenth on top at most."""
    settings = RetrySettings()

    delay = delay_s(1, settings, draw=draw, retry_after_s=asked)

    assert min(asked, settings.max_delay_seconds) <= delay <= max(LEAST_DELAY_S, asked * 1.1)
    assert delay <= settings.max_delay_seconds
