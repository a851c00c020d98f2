"""The watchdog's looking: how often, at what, over which connection, and what it does when something hangs."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from oppsync_worker.engine import watchdog as module
from oppsync_worker.engine.hands import Hands
from oppsync_worker.engine.vigil import Look, Patience
from oppsync_worker.engine.watchdog import Hang, Watchdog
from oppsync_worker.ledger.scripts import Call


class Watched:
    """A process that does what it is told, and a watchdog over it whose system calls are only noted."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, patience_s: float = 5.0, longest_call_s: float = 30.0
    ) -> None:
        self.wound: list[tuple[int, float]] = []
        self.registered: list[tuple[Any, ...]] = []
        self.exits: list[int] = []
        self.told: list[tuple[Any, ...]] = []
        self.asked: list[Call] = []
        self.connections: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0
        self.answer: Callable[[], Any] = lambda: 4
        reporter = SimpleNamespace(
            notice=lambda event, **fields: self.told.append((event, fields)),
            unexpected=lambda error, job: self.told.append((type(error), str(error), job)),
        )
        self.engine: Any = SimpleNamespace(
            redis_url="redis://host",
            name="host:7",
            reporter=reporter,
            book=SimpleNamespace(heard=3),
            polled_at=17.5,
            hands=Hands(),
            room=lambda: 2,
            stopping=False,
            consumed=lambda: ["one", "two"],
        )
        self.beating: Any = SimpleNamespace(turns=7, loop=None)

        def from_url(url: str, **given: Any) -> Any:
            self.connections.append((url, given))
            return SimpleNamespace(close=self._closed)

        def run(_redis: object, call: Call) -> Any:
            self.asked.append(call)
            return self.answer()

        monkeypatch.setattr(module, "Redis", SimpleNamespace(from_url=from_url))
        monkeypatch.setattr(module, "run", run)
        monkeypatch.setattr(signal, "setitimer", lambda which, seconds: self.wound.append((which, seconds)))
        monkeypatch.setattr(faulthandler, "register", lambda *args, **given: self.registered.append((args, given)))
        monkeypatch.setattr(os, "_exit", self.exits.append)
        monkeypatch.setattr(module, "flush", lambda: self.told.append(("flushed",)))
        self.dog = Watchdog(self.engine, self.beating, patience_s=patience_s, longest_call_s=longest_call_s)

    def _closed(self) -> None:
        self.closed += 1

    def rounds(self, count: int, *, each: Callable[[int], None] = lambda _: None, off: bool = False) -> list[float]:
        """Let it watch so many rounds, on this thread; the pauses that it made."""
        pauses: list[float] = []

        def wait(seconds: float) -> bool:
            if len(pauses) == count:
                return True
            pauses.append(seconds)
            each(len(pauses))
            return False

        self.dog._off = SimpleNamespace(wait=wait, is_set=lambda: off)  # type: ignore[assignment]
        self.dog._watch()
        return pauses


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """With a patience of five seconds."""
    return Watched(monkeypatch)


@pytest.mark.parametrize(
    ("patience_s", "every_s", "answer_s", "patience"),
    [
        (5, 0.5, 1.25, Patience(loop_s=5, consumer_s=20, jobs_s=50, pause_s=2.25)),
        (16, 1.6, 4.0, Patience(loop_s=16, consumer_s=20, jobs_s=50, pause_s=7.2)),
        (30, 3.0, 5.0, Patience(loop_s=30, consumer_s=30, jobs_s=60, pause_s=11.0)),
        (600, 5.0, 5.0, Patience(loop_s=600, consumer_s=600, jobs_s=630, pause_s=15.0)),
        (0, 0.0, 5.0, None),
    ],
)
def test_it_looks_ten_times_per_patience_and_every_five_seconds_at_least(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, every_s: float, answer_s: float, patience: Patience | None
) -> None:
    """What Redis has a part in gets twenty seconds at least, and a claim as long as the longest call on top of it."""
    one = Watched(monkeypatch, patience_s=patience_s)

    assert one.dog._every_s == every_s
    if patience:
        assert one.dog._patience == patience
    ((url, given),) = one.connections
    assert url == "redis://host"
    assert given["socket_timeout"] == given["socket_connect_timeout"] == answer_s
    assert given["retry"].get_retries() == 0
    assert given["protocol"] == 2


def test_a_watchdog_without_patience_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is switched off so."""
    one = Watched(monkeypatch, patience_s=0)
    before = threading.enumerate()

    with one.dog.running():
        assert threading.enumerate() == before

    assert one.wound == one.registered == one.asked == []


def test_it_watches_on_a_thread_of_its_own_while_the_block_lasts(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's clock is wound up before the first look, and stopped at the end; nothing is then left open."""
    monkeypatch.setattr(watched.dog, "_every_s", 0.01)

    with watched.dog.running():
        (thread,) = (one for one in threading.enumerate() if one.name == "oppsync-watchdog")
        assert thread.daemon
        until = time.monotonic() + 10
        while len(watched.asked) < 3:
            assert time.monotonic() < until
            time.sleep(0.001)
    thread.join(10)

    assert watched.registered == [((signal.SIGPROF,), {"file": sys.__stderr__, "all_threads": True, "chain": True})]
    assert watched.wound[0] == (signal.ITIMER_PROF, 5.0)
    assert watched.wound[-1] == (signal.ITIMER_PROF, 0)
    assert set(watched.wound[:-1]) == {(signal.ITIMER_PROF, 5.0)}
    assert watched.closed == 1
    assert watched.exits == []


def test_without_a_stderr_the_stacks_go_where_it_would_be(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptor 2."""
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(watched.dog, "_watch", lambda: None)

    with watched.dog.running():
        pass

    assert watched.registered[0][1]["file"] == 2


def test_where_there_is_no_such_clock_it_watches_without(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has neither SIGPROF nor interval timers."""
    ran = threading.Event()
    monkeypatch.setattr(module, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(watched.dog, "_watch", ran.set)

    with watched.dog.running():
        assert ran.wait(10)
    watched.dog._wind(3)

    assert watched.registered == watched.wound == []


def test_the_clock_is_wound_up_at_every_look(watched: Watched) -> None:
    """Should nobody wind it again, the system ends us."""
    assert watched.rounds(3) == [0.5, 0.5, 0.5]

    assert watched.wound == [(signal.ITIMER_PROF, 5.0)] * 3 + [(signal.ITIMER_PROF, 0)]
    assert len(watched.asked) == 4
    assert watched.closed == 1


def test_a_look_sees_all_that_must_move_and_its_reasons(watched: Watched) -> None:
    """Redis proves that it takes writes, by a trace that lasts for a minute."""
    watched.engine.hands.take("1")
    watched.engine.hands.take("2")
    before = time.monotonic()

    look = watched.dog._look()

    assert before <= look.at <= time.monotonic()
    assert look == Look(
        at=look.at,
        turns=7,
        polled=17.5,
        moves=watched.engine.hands.moves + 3,
        waiting=4,
        room=2,
        in_hand=2,
        stopping=False,
    )
    assert watched.asked == [Call("watch", ("host:7", 60_000, "one", "two"))]
    watched.engine.stopping = True
    watched.engine.book = None
    assert watched.dog._look().stopping is True
    assert watched.dog._look().moves == watched.engine.hands.moves


@pytest.mark.parametrize("error", [Lost("away"), OSError("no such thing")])
def test_redis_being_away_is_no_answer(watched: Watched, error: Exception) -> None:
    """Nor is the last one; and no thread ends with a stack on stderr."""
    assert watched.dog._ask() == 4

    def fail() -> Any:
        raise error

    watched.answer = fail
    assert watched.dog._ask() is None
    watched.answer = lambda: b"5"
    assert watched.dog._ask() == 5


def test_a_question_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a quarter of the patience, and the next look asks no second one while it hangs."""
    one = Watched(monkeypatch, patience_s=0.2)
    may_answer, was_asked, names = threading.Event(), threading.Event(), []

    def hang() -> int:
        thread = threading.current_thread()
        names.append((thread.name, thread.daemon))
        was_asked.set()
        assert may_answer.wait(10)
        return 9

    one.answer = hang
    began = time.monotonic()
    assert one.dog._ask() is None
    assert 0.04 < time.monotonic() - began < 4
    assert was_asked.wait(10)
    assert one.dog._ask() is None
    assert names == [("oppsync-watchdog-redis", True)]
    may_answer.set()
    asking: Any = one.dog._asking
    asking.join(10)
    one.answer = lambda: 1
    one.dog._answer_s = 10.0
    assert one.dog._ask() == 1
    assert len(one.asked) == 2


def test_a_look_that_fails_is_told_and_the_next_one_is_taken(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A watchdog that a defect ends would watch nobody."""
    look, looks = watched.dog._look, []

    def fail_once() -> Look:
        looks.append(1)
        if len(looks) == 2:
            raise ZeroDivisionError
        return look()

    monkeypatch.setattr(watched.dog, "_look", fail_once)

    watched.rounds(3)

    assert len(looks) == 4
    assert [record.getMessage() for record in caplog.records] == ["the watchdog could not look"]
    assert watched.exits == []


@pytest.mark.parametrize(("off", "ends"), [(False, 3), (True, 0)])
def test_what_hangs_is_ended_unless_the_end_has_come_already(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, *, off: bool, ends: int
) -> None:
    """A stop has a supervisor of its own. Here nobody dies of it, so that every later round finds it again."""
    now, ended = [1_000.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(watched.dog, "_end", ended.append)

    def later(_: int) -> None:
        now[0] += 1.0

    watched.rounds(7, each=later, off=off)

    assert len(ended) == ends
    assert set(ended) <= {f"the event loop has not turned for {seconds} s" for seconds in (5, 6, 7)}


async def test_last_words_are_the_stacks_a_line_and_a_report(
    watched: Watched, capfd: pytest.CaptureFixture[str]
) -> None:
    """Then the process ends with sysexits' code for a defect; what is kept in a log's buffer comes out before."""
    flushed: list[str] = []
    handler = logging.NullHandler()
    handler.flush = lambda: flushed.append("log")  # type: ignore[method-assign]
    watched.beating.loop = asyncio.get_running_loop()
    task = asyncio.create_task(asyncio.Event().wait(), name="a task that waits \udcff")
    logging.getLogger().addHandler(handler)
    try:
        await asyncio.sleep(0)
        await asyncio.to_thread(watched.dog._end, "the loop \udcff")
    finally:
        logging.getLogger().removeHandler(handler)
        task.cancel()

    said = capfd.readouterr().err
    assert "test_watchdog.py" in said
    assert "a task that waits ?" in said
    assert watched.told == [
        ("watchdog", {"reason": "the loop \udcff"}),
        (Hang, "the loop \udcff", None),
        ("flushed",),
    ]
    assert flushed == ["log"]
    assert watched.exits == [70]


def test_last_words_do_without_a_loop_and_without_a_place_to_write(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report goes out all the same."""
    monkeypatch.setattr(sys, "stderr", None)

    watched.dog._end("hangs")

    assert [one[0] for one in watched.told] == ["watchdog", Hang, "flushed"]
    assert watched.exits == [70]


def test_the_end_comes_even_if_the_last_words_hang(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever hangs may hang on the log too."""
    assert module.FAREWELL_S == 5.0
    monkeypatch.setattr(module, "FAREWELL_S", 0.05)
    may_go, words = threading.Event(), []

    def hang(*_: Any, **__: Any) -> None:
        words.append(threading.current_thread())
        assert may_go.wait(10)

    watched.engine.reporter.notice = hang
    began = time.monotonic()
    watched.dog._end("hangs")

    assert 0.04 < time.monotonic() - began < 5
    assert watched.exits == [70]
    assert words[0].daemon
    may_go.set()
    words[0].join(10)
