"""The pool: what it makes of a tracer's results, who runs where, what is in flight, and how it stops."""

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.app.trace import build_tracer, fast_trace_task
from celery.exceptions import Ignore, Retry

from oppsync_worker.engine import bridge
from oppsync_worker.engine import pool as pool_module
from oppsync_worker.engine.pool import PoolJob, TaskPool, untie


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Whatever is freed is freed because nobody holds it."""
    gc.disable()
    yield
    gc.enable()


def traced(raised: Exception | None) -> Any:
    """A task run as a worker does: (failed, what came of it, seconds)."""
    app = Celery("app", set_as_current=False, broker="memory://", backend="disabled://")

    def work() -> int:
        if raised is not None:
            raise raised
        return 1

    task = app._task_from_fun(work, name="task", shared=False)
    task.__trace__ = build_tracer("task", task, app=app)
    request = {"id": "1", "task": "task"}
    return fast_trace_task("task", "1", request, ((), {}, {}), None, None, _loc=(app.tasks, ["json"], "host"))


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("raised", [Ignore, ValueError, lambda: Retry(when=1)])
def test_the_report_of_a_job_that_did_not_succeed_dies_with_it(raised: Any) -> None:
    """By itself: a worker that parks thousands of jobs would carry hundreds of MiB of them to the next collection."""
    result = traced(raised())

    untie(result)

    report = weakref.ref(result[1])
    assert isinstance(report(), ExceptionInfo)
    del result
    assert report() is None


def test_what_succeeded_is_left_alone() -> None:
    """A result is a text by then."""
    result = traced(None)

    untie(result)

    assert result[:2] == (0, "1")


# The pool itself.


class Pooled:
    """A pool over an engine that only counts, with Celery's loop in the test's hand."""

    def __init__(self, *, limit: Any = 3, hub: bool = True) -> None:
        self.told: list[Any] = []
        self.unexpected: list[BaseException] = []
        self.drains: list[Callable[[], None]] = []
        self.open = False
        reporter = SimpleNamespace(unexpected=lambda error, job: (self.unexpected.append(error), self.told.append(job)))
        self.engine: Any = SimpleNamespace(
            concurrency=0, closing=False, reporter=reporter, stop=lambda: self.told.append("stop")
        )
        made: Any = type("Mine", (TaskPool,), {"engine": self.engine, "opening": staticmethod(self.opening)})
        self.pool = made(limit)
        if hub:
            self.pool.register_with_event_loop(SimpleNamespace(call_soon=self.drains.append))

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Everything that lives on the loop."""
        self.open = True
        yield
        self.open = False

    def in_flight(self) -> int:
        """As `celery inspect stats` shows it."""
        return int(self.pool.info["in-flight"])

    def drained(self, within_s: float = 5.0) -> None:
        """Wait for Celery's loop to be asked, and do as it would."""
        until = time.monotonic() + within_s
        while not self.drains:
            assert time.monotonic() < until
            time.sleep(0.001)
        self.drains.pop(0)()


@pytest.fixture
def pooled() -> Iterator[Callable[..., Pooled]]:
    """Makes started pools, and stops them."""
    made: list[Pooled] = []

    def start(**given: Any) -> Pooled:
        made.append(Pooled(**given))
        made[-1].pool.on_start()
        return made[-1]

    yield start
    for one in made:
        one.pool._in_flight = 0
        one.pool.on_stop()


def test_a_pool_opens_everything_before_it_takes_a_job_and_closes_it_at_the_end() -> None:
    """As many jobs at once as Celery was told, whatever it was told with."""
    one = Pooled(limit="7")

    one.pool.on_start()
    assert one.open
    assert one.engine.concurrency == one.pool.num_processes == 7
    assert one.pool.info["processes"] == [os.getpid()]
    one.pool.on_stop()

    assert not one.open
    assert one.engine.closing is True
    assert one.told == ["stop"]
    assert not one.pool._thread._thread.is_alive()
    assert TaskPool.on_terminate is TaskPool.on_stop


def test_a_job_runs_on_the_loop_and_comes_back_on_celerys_thread(pooled: Callable[..., Pooled]) -> None:
    """It is accepted with this process' number and a time, and is in flight until its callback has run."""
    one, came = pooled(), []
    callers: list[Any] = []

    def work(*args: Any, **kwargs: Any) -> Any:
        callers.append(threading.current_thread().name)
        return (0, (args, kwargs), 0.1)

    began = time.monotonic()
    job = one.pool.on_apply(
        work, (1,), {"a": 2}, callback=came.append, accept_callback=lambda *given: came.append(given)
    )
    assert isinstance(job, PoolJob)
    assert one.in_flight() == 1
    ((pid, at),) = came
    assert pid == os.getpid()
    assert began <= at <= time.monotonic()
    one.drained()

    assert came[1:] == [(0, ((1,), {"a": 2}), 0.1)]
    assert one.in_flight() == 0
    assert callers == ["oppsync-loop"]
    assert job.task is not None
    assert job.terminate() is None


def test_a_job_needs_nothing_but_something_to_call(
    pooled: Callable[..., Pooled], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither arguments nor callbacks."""
    one = pooled()

    one.pool.on_apply(lambda *args, **kwargs: (0, (args, kwargs), 0.1))
    one.drained()

    assert one.in_flight() == 0
    assert one.unexpected == []
    assert caplog.records == []


def test_a_job_that_celery_would_not_accept_is_not_in_flight(pooled: Callable[..., Pooled]) -> None:
    """Counted for ever, it would keep the worker from stopping."""
    one, ran = pooled(), []

    def refuse(*_: Any) -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        one.pool.on_apply(ran.append, (1,), accept_callback=refuse)

    assert one.in_flight() == 0
    one.pool.on_apply(lambda: (0, "1", 0.1))
    one.drained()
    assert ran == []


def test_what_escapes_the_tracer_is_reported_and_frees_its_place(pooled: Callable[..., Pooled]) -> None:
    """With Celery's own word for a failure."""
    one, failed, succeeded = pooled(), [], []

    def escape() -> None:
        raise KeyError("tracer")

    one.pool.on_apply(escape, callback=succeeded.append, error_callback=failed.append)
    one.drained()

    ((report),) = failed
    assert isinstance(report, ExceptionInfo)
    assert "KeyError" in report.traceback
    assert [type(error) for error in one.unexpected] == [KeyError]
    assert one.told == [None]
    assert succeeded == []
    assert one.in_flight() == 0


def test_a_cancelled_job_frees_its_place_and_tells_nobody(pooled: Callable[..., Pooled]) -> None:
    """It is neither done nor failed."""
    one, came, waits = pooled(), [], threading.Event()

    async def long() -> None:
        waits.set()
        await asyncio.sleep(3_600)

    job = one.pool.on_apply(lambda: bridge.drive(long()), callback=came.append, error_callback=came.append)
    assert waits.wait(5)
    one.pool._thread.loop.call_soon_threadsafe(job.task.cancel)
    one.drained()

    assert came == []
    assert one.unexpected == []
    assert one.in_flight() == 0
    assert job.task.cancelled()


def test_a_job_without_success_is_untied_from_its_frames(pooled: Callable[..., Pooled]) -> None:
    """Before Celery gets it."""
    one, came = pooled(), []

    def fail() -> Any:
        return traced(ValueError())

    one.pool.on_apply(fail, callback=came.append)
    one.drained()

    ((failed, report, _),) = came
    assert failed
    assert report.exception.__traceback__ is None


def test_celerys_loop_is_asked_once_for_all_that_came_back(pooled: Callable[..., Pooled]) -> None:
    """And again for what comes after it began."""
    one, came = pooled(), []

    for number in range(3):
        one.pool._back(lambda number=number: came.append(number))
    assert len(one.drains) == 1
    assert came == []
    one.drained()
    assert came == [0, 1, 2]
    one.pool._back(lambda: (came.append(3), one.pool._back(lambda: came.append(4))))
    one.drained()
    assert came == [0, 1, 2, 3, 4]
    assert len(one.drains) == 1


def test_a_callback_of_celerys_that_fails_takes_no_place_with_it(
    pooled: Callable[..., Pooled], caplog: pytest.LogCaptureFixture
) -> None:
    """Its job is settled in the ledger all the same, and the next one comes."""
    one, came = pooled(), []

    def broken(_: Any) -> None:
        raise LookupError("Celery's")

    for callback in (broken, came.append):
        one.pool.on_apply(lambda: (0, "1", 0.1), callback=callback)
        one.drained()

    assert one.in_flight() == 0
    assert len(came) == 1
    assert ["Celery's callback failed" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("hub", [True, False])
def test_a_stop_lets_calls_end_and_runs_their_callbacks(*, hub: bool) -> None:
    """Celery's loop no longer turns by then; a stop waits only for what is in flight."""
    one, came, may_end = Pooled(hub=hub), [], threading.Event()
    one.pool.on_start()
    one.engine.stop = may_end.set

    async def call() -> str:
        while not may_end.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.001)
        return "sent"

    one.pool.on_apply(lambda: (0, bridge.drive(call()), 0.1), callback=came.append)
    if hub:
        one.pool._callbacks.put(lambda: came.append("left over"))
    one.pool.on_stop()

    assert came == [*(["left over"] if hub else []), (0, "sent", 0.1)]
    assert one.drains == []
    assert not one.open


def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety seconds, and what is still in flight is left to its lease."""
    clock, waits, stopped = [1_000.0], [], []
    one = Pooled()
    one.pool._in_flight = 1
    one.pool._thread = SimpleNamespace(
        loop=SimpleNamespace(call_soon_threadsafe=lambda call: call()), stop=lambda: stopped.append(clock[0])
    )

    def get(timeout: float) -> Any:
        waits.append(timeout)
        clock[0] += 7.5
        raise Empty

    one.pool._callbacks = SimpleNamespace(get=get)
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: clock[0])

    one.pool.on_stop()

    assert stopped == [1_090.0]
    assert waits == [0.5] * 12


def test_a_running_job_is_ended_by_nobody(pooled: Callable[..., Pooled]) -> None:
    """A call that was sent cannot be called back, whatever remote control says."""
    one, may_end = pooled(), threading.Event()

    async def call() -> str:
        while not may_end.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.001)
        return "sent"

    came: list[Any] = []
    job = one.pool.on_apply(lambda: (0, bridge.drive(call()), 0.1), callback=came.append)
    job.terminate("KILL")
    one.pool.terminate_job(os.getpid(), "KILL")
    may_end.set()
    one.drained()

    assert came == [(0, "sent", 0.1)]


def test_celery_is_told_how_this_pool_is() -> None:
    """Not to be called from a signal's handler; a task may wait for another; bodies may be buffers."""
    assert (TaskPool.signal_safe, TaskPool.body_can_be_buffer, TaskPool.task_join_will_block) == (False, True, False)
