"""When a request leaves: told from where it is handed to the network to whoever counts it against a budget.

Both ends know nothing of each other, and everything between them would have to hand it through.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Leaves = Callable[[], None]
"""Called when the whole request of one call was handed to the network."""


def _nobody() -> None:
    return


_CURRENT: ContextVar[Leaves] = ContextVar("leaves", default=_nobody)


@contextmanager
def departing(leaves: Leaves) -> Iterator[None]:
    """For the one request that is made within the block."""
    mark = _CURRENT.set(leaves)
    try:
        yield
    finally:
        _CURRENT.reset(mark)


def current() -> Leaves:
    """What to call when the request that is under way leaves; it does nothing where nobody counts."""
    return _CURRENT.get()
