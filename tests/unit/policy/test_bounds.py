"""No answer, whatever its headers and its body say, pauses an instance or a job for longer than the settings allow."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Expected, figure
from oppsync_worker.crm.body import Answer
from oppsync_worker.crm.classify import classify_answer
from oppsync_worker.errors import AnswerLost, AttemptError, NotSent, Throttled, Unavailable
from oppsync_worker.instances import BudgetSettings, InstanceSettings, RetrySettings
from oppsync_worker.limits.budget import announce, learned_least
from oppsync_worker.policy.verdicts import Bury, Defer, Retry, decide

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DRAW = st.floats(0, 1, exclude_max=True)

HEADERS = st.one_of(
    st.none(),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(["999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "86400", "0", "-1", "1e9", "soon", ""]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
ODD = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.integers(-5, 5).map(str),
    st.sampled_from(["20", "20.0", " 20 ", "NaN", "1e3", "٢٠", "-1", "", "x", "9" * 400]),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
SETTINGS = st.builds(
    lambda requests, share, pause, cool, delay, age: InstanceSettings(
        name="acme",
        token="t",
        budget=BudgetSettings(
            requests=requests, learned_min_share=share, max_pause_seconds=pause, cool_down_seconds=cool
        ),
        retry=RetrySettings(max_attempts=3, max_delay_seconds=delay, max_age_seconds=age),
    ),
    st.integers(0, 1000),
    st.floats(0.01, 1),
    st.floats(1, 86_400),
    st.floats(1, 86_400),
    st.floats(1, 86_400),
    st.floats(5, 86_400),
)


def refusal(status: int, document: Any, header: str | None, kind: Kind = Kind.UPDATE) -> AttemptError:
    """What an answer is taken for."""
    headers = httpx.Headers([] if header is None else [("Retry-After", header)])
    answer = Answer(status, headers, json.dumps(document).encode())
    with pytest.raises(AttemptError) as caught:
        classify_answer(answer, expected=Expected(kind, opportunity_id=1), now=NOW)
    return caught.value


@given(header=HEADERS, limit=ODD, usage=ODD, settings=SETTINGS, draw=DRAW, status=st.sampled_from([401, 429]))
def test_no_throttle_pauses_longer_than_the_bound(
    header: str | None, limit: Any, usage: Any, settings: InstanceSettings, draw: float, status: int
) -> None:
    """`max_pause_seconds` for what it asks for; its own cool-down, and a tenth, when it asks for nothing."""
    error = refusal(status, {"msg": "too many requests", "usage": usage, "limite": limit}, header)
    verdict = decide(error, settings, attempt=1, age_s=0, draw=draw)

    assert isinstance(error, Throttled)
    assert isinstance(verdict, Defer)
    budget = settings.budget
    bound = budget.cool_down_seconds * 1.1 if error.retry_after_s is None else budget.max_pause_seconds
    assert 0 < verdict.cool_down_s <= bound
    assert verdict.limit is None or 0 < verdict.limit < 2**53


@given(header=HEADERS, settings=SETTINGS, draw=DRAW, status=st.sampled_from([500, 502, 503, 504, 408, 425]))
def test_no_answer_kills_a_job_at_its_first_attempt(
    header: str | None, settings: InstanceSettings, draw: float, status: int
) -> None:
    """However long it wants to be left alone: the next attempt comes within the retry settings, and within its time."""
    error = refusal(status, {"msg": "down"}, header)
    verdict = decide(error, settings, attempt=1, age_s=1.0, draw=draw)

    assert isinstance(error, Unavailable)
    assert isinstance(verdict, Retry)
    assert verdict.delay_s <= min(settings.retry.max_delay_seconds, settings.retry.max_age_seconds - 1.0)
    assert isinstance(refusal(status, {"msg": "down"}, header, Kind.CREATE), AnswerLost)


@given(asked=st.one_of(st.none(), st.floats(0, 86_400)), settings=SETTINGS, draw=DRAW, age=st.floats(0, 100_000))
def test_a_job_is_too_old_only_when_its_time_is_over(
    asked: float | None, settings: InstanceSettings, draw: float, age: float
) -> None:
    """And then it is."""
    verdict = decide(
        NotSent(refusal(500, {}, None).seen, retry_after_s=asked), settings, attempt=1, age_s=age, draw=draw
    )

    assert isinstance(verdict, Bury) == (age >= settings.retry.max_age_seconds)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (20, 20),
        ("20", 20),
        ("20.0", 20),
        ("20.9", 20),
        (" 20 ", 20),
        (0, 0),
        (-1, None),
        ("-1", None),
        ("-1.5", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e3", None),
        (True, None),
        (None, None),
        ([20], None),
        ({"max": 20}, None),
        ("", None),
        ("٢٠", None),
        (10**30, None),
        ("9" * 400, None),
        (2**53, None),
    ],
)
def test_a_figure_is_read_in_every_form_that_means_one(value: object, read: int | None) -> None:
    """Anything else says nothing."""
    assert figure(value) == read


@given(value=ODD)
def test_no_value_upsets_it(value: object) -> None:
    """Whatever JSON can hold."""
    read = figure(value)

    assert read is None or 0 <= read < 2**53


@pytest.mark.parametrize(("limit", "taught"), [(20.0, 20), ("20", 20), (0, None), (-5, None), (1e300, None), (1, 1)])
def test_a_limit_that_is_no_limit_teaches_nothing(limit: object, taught: int | None) -> None:
    """0 and less say nothing of a pace."""
    error = refusal(429, {"msg": "too many requests", "limite": limit}, None)

    assert isinstance(error, Throttled)
    assert error.limit == taught


def test_what_a_throttle_disclosed_is_told_with_it() -> None:
    """In the job's history, its detail and the log: it is why the pace is lowered."""
    error = refusal(401, {"msg": "Unauthorized: too many requests", "usage": 101, "limite": "100"}, "7")

    assert str(error) == "HTTP 401: Unauthorized: too many requests (usage 101, limite 100)"
    long = refusal(429, {"msg": "too many requests " * 30, "usage": 2**53 - 1, "limite": 2**53 - 1}, None)
    assert len(long.seen.text) == 200
    assert long.seen.text.endswith("(usage 9007199254740991, limite 9007199254740991)")


@given(settings=SETTINGS)
def test_a_floor_is_announced_below_which_nothing_is_learned(settings: InstanceSettings) -> None:
    """At least one request, at least the share, never more than the settings allow."""
    least = learned_least(settings.budget)
    arguments = announce(settings, fingerprint="f").arguments

    assert max(1, settings.budget.requests * settings.budget.learned_min_share) <= least
    assert least <= max(1, settings.budget.requests)
    assert arguments[arguments.index("learned_least") + 1] == least
    assert arguments[arguments.index("learned_ms") + 1] == 3_600_000
