"""Figures from points in time: steady rates, gaps, rolling windows, percentiles. Pure: no clock, no I/O."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

RAMP: Final = 0.1
"""The part of all calls at either end that says more about starting and stopping than about the pace."""

LEAST: Final = 10
"""Calls below which there is no middle to speak of."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The middle of a run: between the calls at 10 % and at 90 % of all."""

    began_s: float
    ended_s: float
    calls: int

    @property
    def per_second(self) -> float:
        """Calls a second; 0 when there was no time between them."""
        return self.calls / (self.ended_s - self.began_s) if self.ended_s > self.began_s else 0.0


@dataclass(frozen=True, slots=True)
class Gaps:
    """Milliseconds between neighbouring calls."""

    least_ms: float
    median_ms: float
    most_ms: float


def steady(times_s: Sequence[float]) -> Steady:
    """The middle of a run.

    Raises:
        ValueError: fewer than ten calls.
    """
    if len(times_s) < LEAST:
        raise ValueError(f"{len(times_s)} calls are too few to speak of a rate")
    ordered = sorted(times_s)
    first = int(len(ordered) * RAMP)
    last = len(ordered) - 1 - first
    return Steady(ordered[first], ordered[last], last - first)


def gaps(times_s: Sequence[float]) -> Gaps | None:
    """How evenly calls were spaced; None for fewer than two."""
    found = [1000 * (later - earlier) for earlier, later in pairwise(sorted(times_s))]
    return Gaps(min(found), median(found), max(found)) if found else None


def most_in_any_window(times_s: Sequence[float], window_s: float) -> int:
    """The most calls in any window of `window_s` seconds: its older end is outside, as a rate limiter counts."""
    ordered = sorted(times_s)
    counts = (index + 1 - bisect_right(ordered, at - window_s) for index, at in enumerate(ordered))
    return max(counts, default=0)


def shortest_span(times_s: Sequence[float], count: int) -> float | None:
    """The shortest time in which so many points lie; None for fewer points."""
    ordered = sorted(times_s)
    return min((late - early for early, late in zip(ordered, ordered[count - 1 :], strict=False)), default=None)


def excess(times_s: Sequence[float], window_s: float, most: int) -> list[tuple[float, int]]:
    """The points that were too many: each with how many there were in the window that ends with it."""
    ordered = sorted(times_s)
    counts = ((at, index + 1 - bisect_right(ordered, at - window_s)) for index, at in enumerate(ordered))
    return [(at, count) for at, count in counts if count > most]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` % of all do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("there are no values")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]
