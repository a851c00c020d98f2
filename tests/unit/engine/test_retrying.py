"""What becomes of a job that its task wants tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.engine.retrying import Asked, decide
from oppsync_worker.instances import RetrySettings
from oppsync_worker.ledger.standing import Standing
from oppsync_worker.policy.verdicts import Bury, Doubt, Retry

SETTINGS = RetrySettings(max_attempts=4, first_delay_seconds=2, max_delay_seconds=100)
SOON = Asked(delay_s=7.0, most=None, error="Boom")


def stand(state: State, kind: str = Kind.CREATE, *, ours: bool = True, retries: int = 0) -> Standing:
    """How the job stands."""
    return Standing(state, kind, ours, retries)


@pytest.mark.parametrize("kind", ["", Kind.CREATE, Kind.UPDATE])
def test_a_job_that_was_not_begun_is_scheduled(kind: str) -> None:
    """Also one that nobody looked at yet."""
    assert decide(stand(State.QUEUED, kind), SOON, SETTINGS, draw=0.5) == Retry(7.0)


def test_an_update_that_is_being_sent_is_scheduled() -> None:
    """It may be sent twice."""
    assert decide(stand(State.SENDING, Kind.UPDATE), SOON, SETTINGS, draw=0.5) == Retry(7.0)


@pytest.mark.parametrize("retries", [0, 99])
def test_a_create_that_is_being_sent_is_in_doubt(retries: int) -> None:
    """However often it was put back before: burying it would tell of a failure that nobody knows of."""
    assert decide(stand(State.SENDING, retries=retries), SOON, SETTINGS, draw=0.5) == Doubt()


@pytest.mark.parametrize("state", list(State))
def test_what_is_not_ours_is_left_alone(state: State) -> None:
    """Settled, or another worker's."""
    assert decide(stand(state, ours=False), SOON, SETTINGS, draw=0.5) is None


@pytest.mark.parametrize(
    ("most", "retries", "buried"), [(2, 1, False), (2, 2, True), (0, 0, True), (None, 2, False), (None, 3, True)]
)
def test_a_job_is_put_back_as_often_as_it_may_be(most: int | None, retries: int, *, buried: bool) -> None:
    """By the caller's word, or by the attempts that the instance allows."""
    verdict = decide(stand(State.QUEUED, retries=retries), Asked(1.0, most, "Boom"), SETTINGS, draw=0.5)

    assert isinstance(verdict, Bury) is buried
    if isinstance(verdict, Bury):
        assert verdict.cause == Cause.EXHAUSTED
        assert verdict.detail == f"put back {retries} times by its task; the last: Boom"


def test_without_a_word_about_when_the_instances_backoff_decides() -> None:
    """Doubling, with jitter."""
    delays = [
        decide(stand(State.QUEUED, retries=retries), Asked(None, 9, "Boom"), SETTINGS, draw=0.5) for retries in range(4)
    ]

    assert delays == [Retry(1.0), Retry(2.0), Retry(4.0), Retry(8.0)]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 0.999))
def test_no_delay_is_negative(delay_s: float, draw: float) -> None:
    """An eta in the past is now."""
    verdict = decide(stand(State.QUEUED), Asked(delay_s, None, "Boom"), SETTINGS, draw=draw)

    assert isinstance(verdict, Retry)
    assert verdict.delay_s >= 0
