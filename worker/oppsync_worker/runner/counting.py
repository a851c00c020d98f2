"""A request counts against the budget from when it leaves, not from when it was granted."""

import asyncio
import time
from typing import Self

from oppsync_worker.departures import departing
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.book import Book
from oppsync_worker.limits.budget import untold_s


class Counting:
    """For the request that is made within the block: if it leaves late, that is told while it is under way.

    Told with its answer, it could be too late: the window may be shorter than the call.
    """

    def __init__(self, book: Book, instance: InstanceSettings, *, counted_at: int, asked_at: float) -> None:
        """It was counted at `counted_at` (Redis' clock, ms), which was asked for at `asked_at` (monotonic clock, s)."""
        self._book = book
        self._instance = instance
        self._counted_at = counted_at
        self._asked_at = asked_at
        self._departing = departing(self._leaves)
        self._telling: asyncio.Task[None] | None = None

    def _leaves(self) -> None:
        late_s = time.monotonic() - self._asked_at
        if late_s > untold_s(self._instance.budget):
            tell = self._book.left_late(self._instance.name, counted_at=self._counted_at, late_s=late_s)
            self._telling = asyncio.create_task(tell)

    async def __aenter__(self) -> Self:
        self._departing.__enter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._departing.__exit__(None, None, None)
        # Where the call failed, or was given up, it is told all the same; but nobody is kept waiting for that.
        if self._telling is not None and kind is None:
            await self._telling
