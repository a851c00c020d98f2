"""The worker's beat, from the loop that its jobs run on: `oppsync health` reads it, the watchdog counts its turns."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.observe import beat
from oppsync_worker.observe.beat import BEAT_EVERY_S, NAMES_MOST, STALE_AFTER_S, Beat, NoHealthFolder
from oppsync_worker.version import release

logger = logging.getLogger(__name__)


class Beating:
    """Beats for one worker process while its event loop turns. A file that cannot be written stops nothing."""

    def __init__(
        self,
        engine: Engine,
        housekeeping: Housekeeping,
        *,
        instances: Sequence[str],
        folder: Path | None,
        warnings: Sequence[str] = (),
    ) -> None:
        """`instances` are the names of those that this worker has a credential for; see `observe.beat.folder`."""
        self.turns = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._engine = engine
        self._housekeeping = housekeeping
        self._instances = len(instances)
        self._names = tuple(instances) if len(instances) <= NAMES_MOST else ()
        self._folder = folder
        self._warnings = tuple(warnings)
        self._started_at = time.monotonic()
        self._told_of_trouble = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Beat as long as the block lasts, the warm stop's wait for calls in flight included."""
        try:
            place: Path | None = beat.open_folder(self._folder)
        except NoHealthFolder as error:
            place = None
            self._trouble(str(error))
        self.loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._beat(place), name="beat")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if place:
                beat.remove(place, os.getpid())

    async def _beat(self, place: Path | None) -> None:
        while True:
            self.turns += 1
            if place:
                try:
                    beat.write(place, self.now())
                except OSError as error:
                    self._trouble(f"{place}: {error.strerror}")
            await asyncio.sleep(BEAT_EVERY_S)

    def now(self) -> Beat:
        """How this worker does at this moment."""
        engine, housekeeping = self._engine, self._housekeeping
        return Beat(
            pid=os.getpid(),
            worker=engine.name,
            release=release(),
            at=time.monotonic(),
            started_at=self._started_at,
            turns=self.turns,
            polled_at=engine.polled_at,
            redis_at=housekeeping.answered_at,
            in_hand=len(engine.hands),
            instances=self._instances,
            names=self._names,
            announced=housekeeping.announced,
            stopping=engine.stopping,
            warnings=self._warnings,
            claimed_at=engine.claimed_at,
            full=engine.room() == 0,
            refusal=self._refusal(),
        )

    def _refusal(self) -> str:
        if self._engine.refusal:
            return f"may not claim jobs. {self._engine.refusal}"
        at = self._engine.book.not_replicated_at if self._engine.book else None
        # Jobs that were put back for it come again within seconds; an older failure says nothing of now.
        if at is not None and time.monotonic() - at < STALE_AFTER_S:
            return "sends nothing: too few replicas of Redis take note in time (OPPSYNC_WAIT_REPLICAS)"
        return ""

    def _trouble(self, said: str) -> None:
        if not self._told_of_trouble:
            self._told_of_trouble = True
            logger.warning("no beat can be written, and `oppsync health` will find none: %s", said)
