"""A valid call, ready to be carried out: what it changes and how its answer reads.

Faults decide whether, when and in which order the two happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from oppsync_ops.simulator.answers import Answer


@dataclass(frozen=True, slots=True)
class Work:
    """``commit`` takes the time it takes effect; reads have none. ``render`` answers afterwards."""

    render: Callable[[], Answer]
    commit: Callable[[float], None] | None = None
