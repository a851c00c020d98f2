"""When a request left: noted where it is handed to the network, read where requests are counted against a budget.

Both ends know nothing of each other, and everything between them would have to hand it through.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Departure:
    """When the request of one call left, on this process' monotonic clock; None before that, and when it never did."""

    at: float | None = None

    def leaves(self) -> None:
        """The whole request was handed to the network now."""
        self.at = time.monotonic()


_CURRENT: ContextVar[Departure] = ContextVar("departure")


@contextmanager
def departing() -> Iterator[Departure]:
    """For a call within the block."""
    departure = Departure()
    mark = _CURRENT.set(departure)
    try:
        yield departure
    finally:
        _CURRENT.reset(mark)


def current() -> Departure:
    """That of the call that is under way; one that nobody reads when nobody counts it."""
    return _CURRENT.get(None) or Departure()
