"""The thread of the event loop: what is opened on it, closed, and raised."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oppsync_worker.engine import loop as module
from oppsync_worker.engine.loop import LoopThread


def opening(told: list[Any], *, before: Exception | None = None, after: Exception | None = None) -> Any:
    """Tells in which thread it is opened and closed; raises one or the other way."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        told.append(("opened", threading.current_thread().name))
        if before:
            raise before
        yield
        told.append(("closed", threading.current_thread().name))
        if after:
            raise after

    return opened


def test_everything_is_open_before_the_start_is_over_and_closed_before_the_stop_is() -> None:
    """On one thread, which does not keep the process alive, and ends."""
    told: list[Any] = []
    one = LoopThread(opening(told))

    one.start()
    assert told == [("opened", "oppsync-loop")]
    assert one.loop.is_running()
    assert one._thread.daemon
    one.stop()

    assert told == [("opened", "oppsync-loop"), ("closed", "oppsync-loop")]
    assert not one._thread.is_alive()
    assert one.loop.is_closed()


def test_a_worker_that_cannot_be_wired_does_not_start() -> None:
    """What stood in its way is raised where it was started, and nothing is left behind."""
    one = LoopThread(opening([], before=LookupError("no such thing")))

    with pytest.raises(LookupError, match="no such thing"):
        one.start()
    one._thread.join(10)

    assert one.loop.is_closed()


def test_what_goes_wrong_at_the_end_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends with it."""
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    one = LoopThread(opening([], after=LookupError("at the end")))

    one.start()
    one.stop()

    assert [str(error) for error in seen] == ["at the end"]


def test_neither_start_nor_stop_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute for the one, a quarter of one for the other."""
    assert (module.START_PATIENCE_S, module.STOP_PATIENCE_S) == (30.0, 15.0)
    monkeypatch.setattr(module, "START_PATIENCE_S", 0.05)
    monkeypatch.setattr(module, "STOP_PATIENCE_S", 0.05)
    may_open, told = threading.Event(), []

    def slowly() -> AbstractAsyncContextManager[None]:
        assert may_open.wait(10)
        return opening(told)()  # type: ignore[no-any-return]

    one = LoopThread(slowly)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        one.start()
    one.stop()
    assert time.monotonic() - began < 5
    assert one._thread.is_alive()
    may_open.set()
    one._thread.join(10)

    assert [what for what, _ in told] == ["opened", "closed"]


def test_a_stop_before_the_start_has_nothing_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery stops what it did not get to start."""
    joined: list[Any] = []
    told: list[Any] = []
    one = LoopThread(opening(told))
    monkeypatch.setattr(one._thread, "join", joined.append)

    one.stop()

    assert joined == [15.0]
    assert told == []
    one.loop.close()


@pytest.mark.parametrize("missing", [True, False])
def test_the_quicker_loop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, *, missing: bool) -> None:
    """And is not needed."""
    quick = SimpleNamespace(new_event_loop=lambda: "quick")
    monkeypatch.setitem(sys.modules, "uvloop", cast("Any", None if missing else quick))

    made: Any = module._new_loop()

    if missing:
        assert isinstance(made, asyncio.AbstractEventLoop)
        made.close()
    else:
        assert made == "quick"
