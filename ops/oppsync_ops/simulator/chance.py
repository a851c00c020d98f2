"""Chance without a shared stream: every draw is a function of what it is about.

SprintHub API notes, section 15.7. A draw is keyed by the seed, the rule that asks, the marker (or path) of the call
and how often that pair was seen. Concurrency therefore cannot change which job meets which fault.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_SPAN: Final = float(1 << 64)


def draw(seed: int, *about: str | int) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    return _digest(seed, about) / _SPAN


def draw_between(seed: int, low: int, high: int, *about: str | int) -> int:
    """A whole number in [low, high] that depends on its arguments alone."""
    return low + _digest(seed, about) % (high - low + 1)


def _digest(seed: int, about: tuple[str | int, ...]) -> int:
    text = "\x1f".join(map(str, (seed, *about)))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
