"""Celery's pool for `async def` tasks: hundreds of calls in flight in one process, on one event loop.

Who runs where: Celery calls `on_apply` on its consumer thread and wants its callbacks there, because its state is not
thread-safe; jobs run on the asyncio thread. While the worker runs, callbacks go through the hub. While it stops, the
hub no longer turns, and `on_stop` runs them itself.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import BasePool

from oppsync_worker.engine import bridge
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.loop import LoopThread, Opening

logger = logging.getLogger(__name__)

STOP_PATIENCE_S: Final = 90.0
"""How long a warm stop waits for calls in flight; each has a deadline of its own well below."""


class PoolJob:
    """What Celery holds on to for one running job."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def terminate(self, signal: object = None) -> None:
        """Not possible: a call that was sent cannot be called back."""


def untie(result: Any) -> None:
    """Free a tracer's result from its frames: (failed, what came of it, seconds).

    A failure's report holds the exception, which holds the tracer's frame, which holds the report: 300 KiB for each job
    that did not succeed, until the collector looks at its oldest generation.
    """
    failed, report, _ = result
    exception = getattr(report, "exception", None) if failed else None
    for one in (exception, getattr(exception, "exc", None)):
        if isinstance(one, BaseException):
            one.__traceback__ = None


class TaskPool(BasePool):  # type: ignore[misc]
    """One event loop for all jobs. The composition root makes a subclass that knows its engine."""

    engine: ClassVar[Engine]
    opening: ClassVar[Opening]

    signal_safe = False
    body_can_be_buffer = True
    task_join_will_block = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._thread = LoopThread(type(self).opening)
        self._in_flight = 0
        self._callbacks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._hub: Any = None
        self._drain_due = threading.Lock()
        self._stopping = False

    def register_with_event_loop(self, hub: Any) -> None:
        """Celery's loop, through which callbacks return to its thread."""
        self._hub = hub

    def on_start(self) -> None:
        """Open everything; a worker that cannot be wired dies here, aloud."""
        self.engine.concurrency = int(self.limit)
        self._thread.start()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Any = None,
        accept_callback: Any = None,
        error_callback: Any = None,
        **_: Any,
    ) -> PoolJob:
        """Start a job. It counts as in flight from here on, not from when the loop gets to it."""
        job = PoolJob()
        self._in_flight += 1
        if accept_callback:
            try:
                accept_callback(os.getpid(), time.monotonic())
            except BaseException:
                # It was never started: counted for ever, it would keep the worker from stopping.
                self._in_flight -= 1
                raise
        self._thread.loop.call_soon_threadsafe(
            self._spawn, job, target, args or (), kwargs or {}, callback, error_callback
        )
        return job

    def _spawn(self, job: PoolJob, target: Any, args: Any, kwargs: Any, callback: Any, error_callback: Any) -> None:
        job.task = asyncio.ensure_future(self._run(target, args, kwargs, callback, error_callback))

    async def _run(self, target: Any, args: Any, kwargs: Any, callback: Any, error_callback: Any) -> None:
        try:
            result = await bridge.run(target, *args, **kwargs)
        except asyncio.CancelledError:
            # Neither done nor failed: the claim's lease decides.
            self._back(self._finished)
            raise
        except BaseException as error:  # noqa: BLE001 - what escapes the tracer would take Celery's slot with it
            failure = ExceptionInfo()
            self.engine.reporter.unexpected(error, None)
            self._back(lambda: self._finished(error_callback, failure))
        else:
            untie(result)
            self._back(lambda: self._finished(callback, result))

    def _back(self, callback: Callable[[], None]) -> None:
        """Run a callback on the consumer thread, soon."""
        self._callbacks.put(callback)
        if self._stopping or self._hub is None:
            return
        if self._drain_due.acquire(blocking=False):
            self._hub.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_due.release()
        while True:
            try:
                callback = self._callbacks.get_nowait()
            except Empty:
                return
            callback()

    def _finished(self, callback: Any = None, value: Any = None) -> None:
        self._in_flight -= 1
        if callback:
            try:
                callback(value)
            except Exception:
                logger.exception("Celery's callback failed; its job is settled in the ledger all the same")

    def on_stop(self) -> None:
        """Warm stop: what was sent is finished, what was not is handed back."""
        self._stopping = self.engine.closing = True
        self._thread.loop.call_soon_threadsafe(self.engine.stop)
        patience = time.monotonic() + STOP_PATIENCE_S
        while self._in_flight and time.monotonic() < patience:
            try:
                self._callbacks.get(timeout=0.5)()
            except Empty:
                continue
        self._thread.stop()

    on_terminate = on_stop

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Remote control may not end a call that was sent."""

    @property
    def num_processes(self) -> int:
        """How many jobs at once; Celery derives its prefetch count from it."""
        return int(self.limit)

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "in-flight": self._in_flight, "processes": [os.getpid()]}
