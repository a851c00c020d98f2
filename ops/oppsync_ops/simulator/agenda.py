"""What will happen to the CRM's data later: late commits, and what "a person" does to an opportunity.

Entries are data, not callbacks, so that a restart can keep them. They are carried out when the next call looks, with
the time they were due; nobody can see the difference.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(order=True, slots=True)
class Appointment:
    """``act`` is ``commit``, ``move``, ``archive`` or ``rename``."""

    due: float
    order: int
    act: str = field(compare=False)
    instance: str = field(compare=False)
    details: dict[str, Any] = field(compare=False)


class Agenda:
    """Appointments by due time, then in the order they were made."""

    def __init__(self) -> None:
        self._heap: list[Appointment] = []
        self._made = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, act: str, instance: str, **details: Any) -> None:
        """Make an appointment."""
        self._made += 1
        heapq.heappush(self._heap, Appointment(due, self._made, act, instance, details))

    def due(self, now: float) -> Iterator[Appointment]:
        """Take the appointments whose time has come, one by one."""
        while self._heap and self._heap[0].due <= now:
            yield heapq.heappop(self._heap)

    def waiting(self) -> Iterable[Appointment]:
        """Every appointment still to come, in order."""
        return sorted(self._heap)
