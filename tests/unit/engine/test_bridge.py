"""A coroutine, run from synchronous code inside a greenlet, on a real event loop."""

import asyncio
import contextvars
from typing import Any

import pytest
from greenlet import getcurrent

from oppsync_worker.engine import bridge

mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="outside")


def tracer(coroutine: Any) -> Any:
    """Stands where Celery's tracer stands: synchronous, and calls a coroutine task."""
    return bridge.drive(coroutine)


async def test_a_value_comes_back_through_waits_of_every_kind() -> None:
    """Sleeping, gathering, timing out: the loop does not notice."""

    async def task() -> list[int]:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        return await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(3)))

    assert await bridge.run(tracer, task()) == [0, 1, 2]


async def test_an_exception_comes_back() -> None:
    """With its type, out of the coroutine and out of the tracer."""

    async def task() -> None:
        await asyncio.sleep(0)
        raise LookupError("inside")

    def broken() -> None:
        raise KeyError("tracer")

    with pytest.raises(LookupError, match="inside"):
        await bridge.run(tracer, task())
    with pytest.raises(KeyError, match="tracer"):
        await bridge.run(broken)


async def test_an_awaited_error_is_raised_where_it_was_awaited() -> None:
    """And may be caught there."""

    async def task() -> str:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(OSError("lost"))
        try:
            await future
        except OSError as error:
            return str(error)
        return "nothing"

    assert await bridge.run(tracer, task()) == "lost"


async def test_cancelling_reaches_the_coroutine() -> None:
    """Its cleanup runs, and the cancellation goes on."""
    cleaned, waits = [], asyncio.Event()

    async def task() -> None:
        waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    running = asyncio.ensure_future(bridge.run(tracer, task()))
    await asyncio.wait_for(waits.wait(), 5)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned == [True]


async def test_jobs_do_not_see_each_others_context() -> None:
    """Context variables and greenlets are a job's own; `current_task` is the job's."""
    seen: dict[int, tuple[str, object, object]] = {}

    async def task(number: int) -> None:
        mark.set(f"job {number}")
        for _ in range(3):
            await asyncio.sleep(0)
        seen[number] = (mark.get(), getcurrent(), asyncio.current_task())

    await asyncio.gather(*(bridge.run(tracer, task(number)) for number in range(50)))

    assert [seen[number][0] for number in range(50)] == [f"job {number}" for number in range(50)]
    assert len({id(greenlet) for _, greenlet, _ in seen.values()}) == 50
    assert len({id(task) for _, _, task in seen.values()}) == 50
    assert mark.get() == "outside"
