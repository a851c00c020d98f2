"""Figures from points in time."""

import pytest

from oppsync_ops.spread import Gaps, excess, gaps, most_in_any_window, percentile, shortest_span, steady


def test_a_steady_rate_leaves_out_start_and_end() -> None:
    """A slow first and a slow last tenth do not count."""
    ramp = [0.0, 10.0]
    middle = [20.0 + n * 0.5 for n in range(17)]
    end = [100.0, 200.0]

    found = steady([*end, *middle, *ramp])

    assert (found.began_s, found.ended_s) == (20.0, 28.0)
    assert found.calls == 16
    assert found.per_second == 2.0


def test_a_steady_rate_of_calls_at_one_moment_is_no_rate() -> None:
    """No time passed: nothing is divided by it."""
    assert steady([5.0] * 20).per_second == 0.0


def test_too_few_calls_have_no_rate() -> None:
    """Nine calls have no middle."""
    with pytest.raises(ValueError, match="9 calls"):
        steady([float(n) for n in range(9)])


def test_gaps_are_between_neighbours_in_time() -> None:
    """The order of the rows does not matter."""
    assert gaps([3.0, 1.0, 1.5, 10.0]) == Gaps(500.0, 1500.0, 7000.0)
    assert gaps([1.0]) is None


@pytest.mark.parametrize(
    ("times", "most"),
    [
        ([], 0),
        ([1.0], 1),
        ([0.0, 1.0, 2.0, 3.0], 3),  # 3.0 - 3.0: the call at 0.0 has just left the window
        ([0.0, 1.0, 2.0, 2.999], 4),
        ([0.0, 10.0, 10.1, 10.2, 20.0], 3),
    ],
)
def test_the_fullest_window_begins_anywhere(times: list[float], most: int) -> None:
    """Windows of 3 s, counted as the simulator's throttle counts them."""
    assert most_in_any_window(times, 3.0) == most


def test_points_that_were_too_many_are_named() -> None:
    """Each with how many there were in the window that ends with it, as many windows as there are."""
    assert excess([0.0, 1.0, 2.0, 2.5, 9.0], 3.0, 2) == [(2.0, 3), (2.5, 4)]
    assert excess([0.0, 3.0, 6.0], 3.0, 1) == []


def test_the_shortest_span_of_so_many_points() -> None:
    """How close a limit was; nothing is said of fewer points."""
    assert shortest_span([5.0, 1.0, 2.5, 9.0], 2) == 1.5
    assert shortest_span([5.0, 1.0, 2.5, 9.0], 3) == 4.0
    assert shortest_span([1.0, 2.0], 3) is None


def test_a_percentile_is_one_of_the_values() -> None:
    """Nearest rank: no value is made up between two."""
    values = [float(n) for n in range(100, 0, -1)]

    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
