"""A request counts against the budget from when it leaves, not from when it was granted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from oppsync_worker.departures import departing
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.book import Book
from oppsync_worker.limits.budget import untold_s


@contextmanager
def counting(book: Book, instance: InstanceSettings, *, counted_at: int, asked_at: float) -> Iterator[None]:
    """For the request that is made within the block: if it leaves late, that is told while it is under way.

    Told with its answer, it could be too late: the window may be shorter than the call.

    Args:
        book: who is told.
        instance: whose request it is.
        counted_at: when it was counted, on Redis' clock, in ms.
        asked_at: when that was asked for, on this process' monotonic clock.
    """

    def leaves() -> None:
        late_s = time.monotonic() - asked_at
        if instance.budget.requests and late_s > untold_s(instance.budget):
            book.left_late(instance.name, counted_at=counted_at, late_s=late_s)

    with departing(leaves):
        yield
