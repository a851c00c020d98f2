"""The asyncio thread of a worker process.

Jobs run on it, and so do leases, so that no lease runs out because Celery's own loop is busy reconnecting.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

Opening = Callable[[], AbstractAsyncContextManager[Any]]
"""What is opened on the loop before the first job, and closed after the last."""

START_PATIENCE_S: Final = 30.0
STOP_PATIENCE_S: Final = 15.0


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - an optional accelerator
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopThread:
    """An event loop in a thread of its own, with something open on it."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._opened: Future[None] = Future()
        self._closing: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="oppsync-loop", daemon=True)
        self.loop: asyncio.AbstractEventLoop = _new_loop()

    def start(self) -> None:
        """Start the thread, and wait until everything is open.

        Raises:
            BaseException: whatever opening raised: a worker that cannot be wired must not start.
        """
        self._thread.start()
        self._opened.result(START_PATIENCE_S)

    def stop(self) -> None:
        """Close what is open, and end the thread."""
        if self._closing is not None:
            self.loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(STOP_PATIENCE_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._closing = asyncio.Event()
        try:
            async with self._opening():
                self._opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)
