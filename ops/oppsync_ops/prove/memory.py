"""What a worker weighs over its life: resident memory, and how it grows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

EVERY_S: Final = 1.0
WARM_UP: Final = 0.2
"""The part of a life that is left out: importing, filling pools and caches."""
POINTS: Final = 30
MIB: Final = 2**20


@dataclass
class Life:
    """One life of a worker, weighed about every second."""

    name: str
    pid: int
    weights: list[tuple[float, int]] = field(default_factory=list)
    """(seconds on the monotonic clock, bytes)."""

    def add(self, at_s: float, weight: int | None) -> None:
        """Note a weight, unless there was one a moment ago."""
        if weight and (not self.weights or at_s - self.weights[-1][0] >= EVERY_S):
            self.weights.append((at_s, weight))

    @property
    def seconds(self) -> float:
        """How long it was weighed."""
        return self.weights[-1][0] - self.weights[0][0] if self.weights else 0.0


@dataclass(frozen=True, slots=True)
class Growth:
    """The longest life. `mib_per_minute` is the slope of a straight line through all of it but its warm-up."""

    worker: str
    seconds: float
    start_mib: float
    middle_mib: float
    end_mib: float
    mib_per_minute: float
    curve: tuple[tuple[float, float], ...]
    """The whole life in some points: seconds, MiB."""


def growth(lives: Sequence[Life]) -> Growth | None:
    """How the longest of several lives grew; None where nothing could be weighed."""
    longest = max(lives, key=lambda life: life.seconds, default=None)
    if longest is None or len(longest.weights) < 3:  # noqa: PLR2004 - a start, a middle and an end
        return None
    weights = longest.weights[int(len(longest.weights) * WARM_UP) :]
    start, middle, end = (weights[index][1] / MIB for index in (0, len(weights) // 2, -1))
    step = max(1, len(longest.weights) // POINTS)
    curve = tuple((round(at - longest.weights[0][0], 1), round(w / MIB, 1)) for at, w in longest.weights[::step])
    return Growth(longest.name, longest.seconds, start, middle, end, _slope(weights) * 60 / MIB, curve)


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process now; None where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """Least squares: bytes for each second."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    under = sum((x - mean_x) ** 2 for x, _ in points)
    return over / under if under else 0.0
