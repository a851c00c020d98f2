"""Running `async def` tasks under Celery's synchronous tracer.

Each job is an asyncio task that runs the tracer in a greenlet. Where the task's coroutine waits, the greenlet hands the
future to its parent, which awaits it and switches back with the value. Celery's own state is keyed by greenlet and so
stays apart; context variables are copied, so that Sentry's scopes do too.

    asyncio task ──run()──> greenlet: tracer ── Task.__call__ ── drive(coroutine)
          ^                                                            |
          '---- awaits the future that the coroutine waits for --------'
"""

from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

from greenlet import getcurrent, greenlet


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, inside a job's greenlet; gives what it returns, raises what it raises."""
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            waiting = step(value)
        except StopIteration as end:
            return end.value
        parent = getcurrent().parent
        try:
            step, value = coroutine.send, parent.switch(waiting)
        except BaseException as error:  # noqa: BLE001 - cancellation too belongs to the coroutine
            step, value = coroutine.throw, error


class _Step:
    """Awaits one bare future for a coroutine that is driven elsewhere."""

    def __init__(self, waiting: Any) -> None:
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._waiting)


async def run(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that may `drive` coroutines, from the asyncio task that is to do their waiting."""
    runner = greenlet(target)
    runner.gr_context = copy_context()
    value = runner.switch(*args, **kwargs)
    while not runner.dead:
        try:
            value = runner.switch(await _Step(value))
        except BaseException as error:
            if runner.dead:
                raise
            value = runner.throw(error)
    return value
