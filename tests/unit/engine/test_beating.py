"""A worker's beat: what it tells, how often, and where everything waits when somebody asks."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.engine import beating as module
from oppsync_worker.engine import bridge, stacks
from oppsync_worker.engine.beating import Beating
from oppsync_worker.observe import beat
from oppsync_worker.observe.beat import STALE_AFTER_S, Beat
from oppsync_worker.version import release


def of(
    folder: Path | None, *, names: int = 2, warnings: list[str] | None = None, refusal: str = "", book: Any = None
) -> Beating:
    """The beat of a worker that is busy and about to stop."""
    engine: Any = SimpleNamespace(
        name="host:7",
        polled_at=17.5,
        claimed_at=16.5,
        room=lambda: 0,
        refusal=refusal,
        book=book,
        hands=[1, 2, 3],
        stopping=True,
    )
    housekeeping: Any = SimpleNamespace(answered_at=18.5, announced=True)
    instances = [f"i{number}" for number in range(names)]
    more = {} if warnings is None else {"warnings": warnings}
    return Beating(engine, housekeeping, instances=instances, folder=folder, **more)


def test_a_beat_tells_how_the_worker_does() -> None:
    """All of it as it is at this moment, and when the worker was started."""
    before = time.monotonic()
    one = of(None, warnings=["no AOF"])
    made = time.monotonic()
    one.turns = 4

    said = one.now()

    assert before <= said.started_at <= made <= said.at <= time.monotonic()
    assert said == Beat(
        pid=os.getpid(),
        worker="host:7",
        release=release(),
        at=said.at,
        started_at=said.started_at,
        turns=4,
        polled_at=17.5,
        claimed_at=16.5,
        full=True,
        redis_at=18.5,
        in_hand=3,
        instances=2,
        names=("i0", "i1"),
        announced=True,
        stopping=True,
        warnings=("no AOF",),
    )
    assert of(None).now().refusal == ""
    assert of(None).now().warnings == ()
    assert of(None).now().turns == 0


def test_a_beat_says_that_the_worker_may_not_claim() -> None:
    """In the words of who refused it."""
    assert of(None, refusal="NOPERM").now().refusal == "may not claim jobs. NOPERM"


@pytest.mark.parametrize(("ago_s", "told"), [(0.0, True), (STALE_AFTER_S - 1, True), (STALE_AFTER_S + 1, False)])
def test_a_beat_says_that_too_few_replicas_take_note(ago_s: float, told: Any) -> None:
    """As long as that is news: what was put back for it comes again within seconds."""
    book = SimpleNamespace(not_replicated_at=time.monotonic() - ago_s)

    assert ("OPPSYNC_WAIT_REPLICAS" in of(None, book=book).now().refusal) is told
    assert of(None, book=SimpleNamespace(not_replicated_at=None)).now().refusal == ""


@pytest.mark.parametrize(("count", "named"), [(1_000, 1_000), (1_001, 0)])
def test_a_thousand_instances_are_named_and_more_are_counted(count: int, named: int) -> None:
    """The file is read by every probe."""
    said = of(None, names=count).now()

    assert (said.instances, len(said.names)) == (count, named)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it pauses; no pause takes any time."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": at_once}))
    return slept


async def turned(done: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def test_a_worker_beats_every_other_second_until_it_has_stopped(tmp_path: Path, sleeps: list[float]) -> None:
    """Its file is there from the first turn on, and gone after the last; the loop that it runs on is known."""
    one = of(tmp_path / "health")
    assert one.loop is None
    others = asyncio.all_tasks()

    async with one.running():
        assert one.loop is asyncio.get_running_loop()
        await turned(lambda: len(sleeps) >= 3)
        (read,) = beat.read_all(tmp_path / "health")
        assert read.worker == "host:7"
        assert 1 <= read.turns <= one.turns
        assert [task.get_name() for task in asyncio.all_tasks() - others] == ["beat"]

    assert set(sleeps) == {2.0}
    assert one.turns == len(sleeps)
    assert list((tmp_path / "health").iterdir()) == []
    assert asyncio.all_tasks() == others


async def test_a_file_that_cannot_be_written_is_told_once_and_stops_nothing(
    tmp_path: Path, sleeps: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The watchdog counts the turns all the same."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.beat, "write", full)
    one = of(tmp_path)

    async with one.running():
        await turned(lambda: len(sleeps) >= 3)

    assert one.turns >= 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"no beat can be written, and `oppsync health` will find none: {tmp_path}: No space left on device"
    )


async def test_a_folder_that_cannot_be_made_is_told_and_stops_nothing(
    tmp_path: Path, sleeps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("", "utf-8")
    one = of(tmp_path / "file" / "below")

    async with one.running():
        await turned(lambda: len(sleeps) >= 3)

    assert one.turns >= 3
    (record,) = caplog.records
    assert "set OPPSYNC_HEALTH_DIR" in record.getMessage()


# Where everything is.


def test_the_stacks_of_all_threads_are_told() -> None:
    """Not only that of whoever asks."""
    may_end, waits = threading.Event(), threading.Event()

    def stand_somewhere() -> None:
        waits.set()
        may_end.wait(10)

    thread = threading.Thread(target=stand_somewhere)
    thread.start()
    waits.wait(10)
    said = stacks.of_threads()
    may_end.set()
    thread.join(10)

    assert said.startswith(("Thread 0x", "Current thread 0x"))
    assert "in stand_somewhere" in said
    assert "in test_the_stacks_of_all_threads_are_told" in said


def test_no_place_for_stacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full must not keep a hanging worker alive."""

    def full() -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stacks.tempfile, "TemporaryFile", full)

    assert stacks.of_threads() == "no stacks of threads: No space left on device\n"


async def wait_inside(event: asyncio.Event) -> None:
    """The innermost."""
    await event.wait()


async def wait_outside(event: asyncio.Event) -> None:
    """Awaits another."""
    await wait_inside(event)


def in_a_tracer(event: asyncio.Event) -> None:
    """Synchronous, as Celery's tracer is."""
    bridge.drive(wait_outside(event))


def frames(said: str, name: str) -> list[str]:
    """The functions that the task of this name waits in."""
    _, _, rest = said.partition(f"Task {name} (waits, outermost first):\n")
    lines = rest.partition("\nTask ")[0].splitlines()
    assert all(line.startswith('  File "') and ", line " in line for line in lines if line)
    return [line.rpartition(" in ")[2] for line in lines if line]


async def test_what_tasks_wait_in_is_told_from_the_outside_in() -> None:
    """Through a job's greenlet too, and of a task that waits for nothing yet."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    plain = asyncio.create_task(wait_outside(event), name="plain")
    job = asyncio.create_task(bridge.run(in_a_tracer, event), name="job")
    await asyncio.sleep(0)
    fresh = asyncio.create_task(wait_outside(event), name="fresh")

    said = await asyncio.to_thread(stacks.of_tasks, loop)

    assert frames(said, "plain") == ["wait_outside", "wait_inside", "wait"]
    assert frames(said, "job") == ["run", "wait_outside", "wait_inside", "wait"]
    assert frames(said, "fresh")[:1] == ["wait_outside"]
    assert said.endswith("\n")
    event.set()
    await asyncio.gather(plain, job, fresh)


async def test_fifty_tasks_are_told() -> None:
    """A worker with thousands would fill the log with the same line."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    tasks = [asyncio.create_task(event.wait()) for _ in range(60)]

    said = stacks.of_tasks(loop)

    assert said.count("(waits, outermost first):") == 50
    event.set()
    await asyncio.gather(*tasks)
