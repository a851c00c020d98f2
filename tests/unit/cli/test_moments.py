"""Times as they are typed and told."""

from datetime import UTC, datetime, timedelta

import pytest

from oppsync_ops.jobs.moments import Bound, around, iso, moment, span

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "before_now_ms"),
    [("30s", 30_000), ("2h", 7_200_000), ("1d12h", 129_600_000), ("1.5h", 5_400_000), ("2w", 1_209_600_000)],
)
def test_an_age_counts_back_from_now(text: str, before_now_ms: int) -> None:
    """Units may be joined."""
    assert Bound.parse(text).ms(NOW) == NOW - before_now_ms


@pytest.mark.parametrize("text", ["2024-03-21T21:27:00.250Z", "2024-03-21T18:27:00.250-03:00"])
def test_a_time_is_itself(text: str) -> None:
    """Whatever now is."""
    assert Bound.parse(text).ms(NOW) == Bound.parse(text).ms(0) == 1_711_056_420_250


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "two hours", "2024-13-01T00:00:00Z", "1..5h"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """Of both ways to say it."""
    with pytest.raises(ValueError, match="2h"):
        Bound.parse(text)


def test_a_time_must_name_its_zone() -> None:
    """There is no right guess."""
    with pytest.raises(ValueError, match="time zone"):
        Bound.parse("2024-03-21T21:27:00")


def test_what_is_printed_can_be_typed() -> None:
    """The command that a dry run prints means the same moment."""
    assert Bound.parse(str(iso(moment(NOW + 7)))).ms(0) == NOW + 7


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0, "0 s"), (59_000, "59 s"), (60_000, "1 min"), (90_000, "1.5 min"), (7_200_000, "2 h"), (864_000_000, "10 d")],
)
def test_a_span_has_two_figures(ms: int, told: str) -> None:
    """Enough to decide by."""
    assert span(ms) == told


def test_a_time_is_told_with_its_distance() -> None:
    """Ahead or ago; never is nothing."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ms = int(now.timestamp() * 1000)

    assert around(now + timedelta(seconds=40), ms) == "2026-01-02 03:04:45 UTC (in 40 s)"
    assert around(now - timedelta(hours=2), ms) == "2026-01-02 01:04:05 UTC (2 h ago)"
    assert around(moment(0), ms) is None
    assert iso(None) is None
