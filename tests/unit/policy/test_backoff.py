"""How long to wait: figures, in seconds, for every attempt and every wish of the CRM's."""

import pytest

from oppsync_worker.errors import NotSent, Seen, Throttled, Unavailable
from oppsync_worker.instances import BudgetSettings, InstanceSettings, RetrySettings
from oppsync_worker.policy.backoff import JITTER_ON_REQUEST, LEAST_DELAY_S, delay_s
from oppsync_worker.policy.verdicts import LEAST_PAUSE_S, Bury, Defer, Retry, decide, pause_s

SETTINGS = RetrySettings(first_delay_seconds=3, max_delay_seconds=100)
SEEN = Seen(503, "down")
MOST = 0.999_999


@pytest.mark.parametrize(
    ("attempt", "ceiling_s"),
    [(1, 3), (2, 6), (3, 12), (4, 24), (5, 48), (6, 96), (7, 100), (8, 100), (61, 100), (1_000, 100), (10_000, 100)],
)
def test_the_ceiling_doubles_from_the_first_delay_to_the_longest(attempt: int, ceiling_s: float) -> None:
    """And the delay is drawn uniformly below it."""
    for draw in (MOST, 0.5, 0.25):
        assert delay_s(attempt, SETTINGS, draw=draw, retry_after_s=None) == pytest.approx(ceiling_s * draw)


@pytest.mark.parametrize("attempt", [1, 9])
def test_a_lucky_draw_still_waits_a_tenth_of_a_second(attempt: int) -> None:
    """Never nothing, and never less."""
    assert delay_s(attempt, SETTINGS, draw=0.0, retry_after_s=None) == LEAST_DELAY_S == 0.1


def test_the_doubling_goes_on_for_sixty_attempts() -> None:
    """Beyond that, a float would not hold it."""
    # Settings give a millisecond at least; with so much the longest delay would be reached first.
    long = RetrySettings.model_construct(first_delay_seconds=1e-13, max_delay_seconds=86_400)

    assert delay_s(51, long, draw=MOST, retry_after_s=None) == pytest.approx(1e-13 * 2.0**50 * MOST)
    assert delay_s(55, long, draw=MOST, retry_after_s=None) == pytest.approx(1e-13 * 2.0**54 * MOST)
    beyond = RetrySettings.model_construct(first_delay_seconds=1e-20, max_delay_seconds=86_400)
    assert delay_s(10_000, beyond, draw=MOST, retry_after_s=None) == LEAST_DELAY_S


@pytest.mark.parametrize(
    ("asked_s", "draw", "waits_s"),
    [
        (10, 0.0, 10),
        (10, 0.5, 10.5),
        (10, MOST, 11),
        (99, 0.5, 100),
        (5_000, 0.0, 100),
        (0, 0.9, 0.1),
        (0.05, 0.0, 0.1),
        (0.2, 0.0, 0.2),
    ],
)
@pytest.mark.parametrize("attempt", [1, 8])
def test_what_the_crm_asks_for_is_kept_to_with_a_tenth_on_top(
    attempt: int, asked_s: float, draw: float, waits_s: float
) -> None:
    """Whichever attempt it was; up to the longest delay, and at least a tenth of a second."""
    assert JITTER_ON_REQUEST == 0.1
    assert delay_s(attempt, SETTINGS, draw=draw, retry_after_s=asked_s) == pytest.approx(waits_s, rel=1e-5)


@pytest.mark.parametrize(
    ("asked_s", "draw", "pauses_s"),
    [
        (None, 0.0, 65),
        (None, 0.5, 68.25),
        (None, MOST, 71.5),
        (0, 0.0, 1),
        (0.5, 0.5, 1.05),
        (30, 0.0, 30),
        (30, 0.5, 31.5),
        (30, MOST, 33),
        (880, 0.5, 900),
        (86_400, 0.0, 900),
    ],
)
def test_a_throttle_pauses_its_instance(asked_s: float | None, draw: float, pauses_s: float) -> None:
    """Its cool-down, or what it asked for, with a tenth on top; a second at least, `max_pause_seconds` at most."""
    acme = InstanceSettings(name="acme", token="t")

    assert LEAST_PAUSE_S == 1.0
    throttled = Throttled(SEEN, retry_after_s=asked_s)
    assert pause_s(throttled, acme, draw=draw) == pytest.approx(pauses_s, rel=1e-5)
    verdict = decide(throttled, acme, attempt=1, age_s=0, draw=draw)
    assert isinstance(verdict, Defer)
    assert verdict.cool_down_s == pytest.approx(pauses_s, rel=1e-5)


def test_a_bound_below_a_second_is_a_second() -> None:
    """No attempt is spent on a throttle: an instance that is asked ten times a second would be asked for ever."""
    acme = InstanceSettings(name="acme", token="t", budget=BudgetSettings(max_pause_seconds=0.2))

    assert pause_s(Throttled(SEEN, retry_after_s=0.1), acme, draw=0.9) == 1.0


ACME = InstanceSettings(
    name="acme", token="t", retry=RetrySettings(max_attempts=3, max_age_seconds=100, first_delay_seconds=8)
)


@pytest.mark.parametrize("kind", [NotSent, Unavailable])
@pytest.mark.parametrize(
    ("attempt", "age_s", "verdict"),
    [
        (1, 0.0, Retry(4.0)),
        (2, 0.0, Retry(8.0)),
        (2, 95.0, Retry(5.0)),
        (2, 99.95, Retry(0.1)),
        (2, 99.5, Retry(0.5)),
        (1, 100.0, "older than 100 s after 1 attempts; the last: HTTP 503: down"),
        (1, 5_000.0, "older than 100 s after 1 attempts; the last: HTTP 503: down"),
        (3, 0.0, "3 attempts; the last: HTTP 503: down"),
        (4, 100.0, "4 attempts; the last: HTTP 503: down"),
    ],
)
def test_an_attempt_is_repeated_within_its_bounds(
    kind: type[NotSent | Unavailable], attempt: int, age_s: float, verdict: Retry | str
) -> None:
    """The last attempt comes no later than the end of the job's time; then it is buried, with what was said last."""
    found = decide(kind(SEEN), ACME, attempt=attempt, age_s=age_s, draw=0.5)

    if isinstance(verdict, Retry):
        assert isinstance(found, Retry)
        assert found.delay_s == pytest.approx(verdict.delay_s)
    else:
        assert isinstance(found, Bury)
        assert (found.cause.value, found.detail) == ("exhausted", verdict)


def test_the_crms_wish_is_passed_on_to_the_next_attempt() -> None:
    """With its share of jitter."""
    found = decide(NotSent(SEEN, retry_after_s=20), ACME, attempt=1, age_s=0, draw=0.5)

    assert found == Retry(pytest.approx(21.0))
