"""A whole sweep over a ledger of lists and sets, in pieces of two; and the running of all chores, to their end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from oppsync_worker.engine import housekeeping
from oppsync_worker.engine import sweep as module
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.engine.sweep import Sweep
from oppsync_worker.ledger import sweeping
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release

JOBS = [f"j{number}" for number in range(5)]
HELD = {f"oppsync:claim:{tag}": job for tag, job in (("1", b"j0"), ("2", None), ("3", b"far"))}


class Ledger:
    """Redis, as far as a sweep reads it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.slept: list[float] = []
        self.written: list[Any] = []
        self.suspected: dict[str, str] = {"j0": "1", "j1": "1", "j2": "1", "j3": "9000001"}
        self.lane: list[bytes] = [b"j1", b"x", b"y"]
        self.before = {b"j2": b"1"}
        self.counts: list[Any] = []

    async def run(self, _redis: object, call: Call) -> Any:
        """The answer of a script."""
        self.calls.append(call)
        match call.script:
            case "sweep":
                some = [one for one in call.arguments[3:] if one in self.suspected]
                pairs = [part for one in some for part in (str(one), self.suspected[str(one)])]
                return [[part.encode() for part in pairs], [b"j4", b"put back"] if "j4" in call.arguments else []]
            case "ghosts":
                return [str(call.arguments[2]).encode(), b"ghost of " + str(call.arguments[0]).encode()]
            case "lane":
                name, first, last = call.arguments
                return self.lane[int(first) : int(last) + 1] if name == "opportunities.bulk" else []
            case "lose":
                return 1
        raise AssertionError(call)

    def scan_iter(self, match: str, count: int) -> AsyncIterator[bytes]:
        self.counts.append((match, count))
        names = {"oppsync:job:*": JOBS, "oppsync:waiting:*": ["acme"], "oppsync:held:*": ["globex"]}
        return self.each([match[:-1] + one for one in names.get(match, [])] or sorted(HELD))

    async def each(self, names: list[str]) -> AsyncIterator[bytes]:
        for name in names:
            yield name.encode()

    async def zscan_iter(self, place: str, count: int) -> AsyncIterator[tuple[bytes, float]]:
        assert count == 2
        for number in range(3 if place == "oppsync:dead" else 2 if place == "oppsync:held:globex" else 0):
            yield f"{place}-{number}".encode(), 1.0

    async def zrange(self, *args: Any) -> list[bytes]:
        assert args == ("oppsync:leases", 0, -1)
        return [b"1", b"2", b"3"]

    async def llen(self, name: str) -> int:
        return len(self.lane) if name == "opportunities.bulk" else 0

    async def zcard(self, key: str) -> int:
        assert key == "oppsync:leases"
        return 0

    async def time(self) -> tuple[int, int]:
        return 9_000, 2_000

    def pipeline(self, *, transaction: bool) -> "Pipe":
        return Pipe(self, transaction=transaction)

    async def hset(self, key: str, mapping: Any) -> None:
        self.written.append((key, mapping))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Pipe:
    """Commands in a row."""

    def __init__(self, ledger: Ledger, *, transaction: bool) -> None:
        self.ledger = ledger
        self.transaction = transaction
        self.answers: list[Any] = []

    def hget(self, key: str, name: str) -> None:
        assert (name, self.transaction) == ("job", False)
        self.answers.append(HELD[key])

    def hgetall(self, _key: str) -> None:
        assert self.transaction
        self.answers.append(self.ledger.before)

    def delete(self, _key: str) -> None:
        self.answers.append(1)

    def hset(self, key: str, mapping: Any) -> None:
        self.ledger.written.append((key, mapping))

    def hincrby(self, *args: Any) -> None:
        self.ledger.written.append(args)

    async def execute(self) -> list[Any]:
        return self.answers


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """In pieces of two."""
    one = Ledger()
    monkeypatch.setattr(module, "run_async", one.run)
    monkeypatch.setattr(module, "PIECE", 2)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=one.sleep))
    return one


def sweep_of(ledger: Ledger) -> tuple[Sweep, list[Any]]:
    """A sweep, and what is told of it."""
    told: list[Any] = []
    reporter = SimpleNamespace(strays=lambda *args: told.append(args))
    return Sweep(ledger, worker="w:1", reporter=reporter, every_s=1, ttl_s=60), told  # type: ignore[arg-type]


def asked(ledger: Ledger, script: str) -> list[tuple[Any, ...]]:
    """What a script was given, run after run."""
    return [call.arguments for call in ledger.calls if call.script == script]


async def test_a_sweep_looks_at_every_entry_every_place_and_every_message(ledger: Ledger) -> None:
    """In pieces, with a pause after each; and a job is lost whose message was missed twice."""
    one, told = sweep_of(ledger)

    found = await one.sweep()

    assert asked(ledger, "sweep") == [(60, release(), 60_000, *piece) for piece in (["j0", "j1"], ["j2", "j3"], ["j4"])]
    dead = [f"oppsync:dead-{number}" for number in range(3)]
    globex = [f"oppsync:held:globex-{number}" for number in range(2)]
    ghosts = asked(ledger, "ghosts")
    assert ("dead", "oppsync:dead", *dead[:2]) in ghosts
    assert ("dead", "oppsync:dead", dead[2]) in ghosts
    assert ("held", "oppsync:held:globex", *globex) in ghosts
    assert ("claim", "oppsync:leases", "1", "2") in ghosts
    assert ("claim", "oppsync:leases", "3") in ghosts
    assert len(ghosts) == 5
    lanes = [args for args in asked(ledger, "lane") if args[0] == "opportunities.bulk"]
    assert lanes == [("opportunities.bulk", 0, 1), ("opportunities.bulk", 2, 3), ("opportunities.bulk", 3, 4)]
    assert {args[0] for args in asked(ledger, "lane")} == set(sweeping.lists())
    assert asked(ledger, "lose") == [("j2", "1", release())]
    assert found == Counter({"ghost of dead": 2, "ghost of claim": 2, "put back": 1, "ghost of held": 1, "lost": 1})
    assert ("oppsync:missing", {"j2": "1", "j3": "9000001"}) in ledger.written
    assert ("oppsync:sweep", {"last": 7}) in ledger.written
    assert ("oppsync:sweep", "found:lost", 1) in ledger.written
    assert told[0][0] == dict(found)
    assert told[0][1].endswith(" and more")
    assert set(ledger.slept) == {0.02}
    # Two full pieces of entries, one of claims; three pieces of places; two of messages.
    assert len(ledger.slept) == 3 + 3 + 2
    assert {count for _, count in ledger.counts} == {1_000}


async def test_a_claim_without_a_job_is_in_nobody_s_hand(ledger: Ledger) -> None:
    """Nor is it a job called `None`."""
    one, _ = sweep_of(ledger)

    assert [list(piece) async for piece in one._in_hand()] == [["j0"], ["far"]]


async def test_nothing_missing_is_nothing_remembered(ledger: Ledger) -> None:
    """And no lane is read for nobody."""
    ledger.suspected = {"j1": "1"}
    one, _ = sweep_of(ledger)
    await one.sweep()
    assert not any(key == "oppsync:missing" for key, *_ in ledger.written)
    ledger.calls.clear()
    ledger.suspected = {}
    await one.sweep()
    assert asked(ledger, "lane") == []


async def test_of_too_many_suspects_each_is_looked_for_in_bits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were queued before the reading began, at 9,000,002 ms, and still are."""
    monkeypatch.setattr(module, "MOST_SUSPECTS", 3)
    ledger.suspected |= {"j4": "9000002"}
    one, _ = sweep_of(ledger)

    await one.sweep()

    assert asked(ledger, "lose") == [("j2", "1", release())]
    assert ("oppsync:missing", {"j2": "1", "j3": "9000001"}) in ledger.written
    # The second reading of the entries counts nothing twice.
    assert ("oppsync:sweep", "found:put back", 1) in ledger.written


# All chores.


class Chores:
    """Housekeeping whose chores only count themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: Counter[str] = Counter()
        self.gone: list[Call] = []
        self.error: Exception | None = None

        async def run(_redis: object, call: Call) -> Any:
            self.gone.append(call)
            if self.error:
                raise self.error

        monkeypatch.setattr(housekeeping, "run_async", run)
        self.one = Housekeeping(
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            name="w:1",
            reporter=None,  # type: ignore[arg-type]
            lease_ms=1,
            max_crashes=1,
            ttl_s=1,
            announcements=[],
            reconciler=None,  # type: ignore[arg-type]
            look_ms=1,
            sweep=SimpleNamespace(chore=self.chore("sweep")),  # type: ignore[arg-type]
        )
        for name in ("renew", "restore", "promote", "announce", "present"):
            monkeypatch.setattr(self.one, f"_{name}", self.chore(name))

    def chore(self, name: str) -> Callable[[], Any]:
        async def do() -> float:
            task = asyncio.current_task()
            assert task is not None
            assert task.get_name() == name
            self.done[name] += 1
            return 3_600.0

        return do


@pytest.mark.parametrize("error", [None, Lost("away")])
async def test_every_chore_runs_until_the_end_and_the_worker_says_good_bye(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Whether Redis hears of it or not; no look-up is taken on by then."""
    chores = Chores(monkeypatch)
    chores.error = error
    others = asyncio.all_tasks()

    async with chores.one.running():
        async with asyncio.timeout(10):
            while len(chores.done) < 6:  # noqa: ASYNC110 - the chores tell nobody
                await asyncio.sleep(0)
        assert chores.one._stopping is False

    assert chores.done == Counter(dict.fromkeys(("renew", "restore", "promote", "announce", "present", "sweep"), 1))
    assert chores.gone == [Call("present", ("w:1", 0, 0, 20_000))]
    assert chores.one._stopping is True
    assert asyncio.all_tasks() == others


async def test_look_ups_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds at most; those that are left are cancelled, again and again."""
    waits: list[Any] = []
    wait = asyncio.wait

    async def quick(tasks: Any, timeout: float) -> Any:  # noqa: ASYNC109 - asyncio's own signature
        waits.append(timeout)
        return await wait(tasks, timeout=min(timeout, 0.05))

    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                cancelled.append(1)

    async def short() -> None:
        await asyncio.sleep(0)
        cancelled.append(0)

    cancelled: list[int] = []
    monkeypatch.setattr(asyncio, "wait", quick)
    chores = Chores(monkeypatch)

    async with chores.one.running():
        await asyncio.sleep(0)
        chores.one._looks = {asyncio.create_task(stubborn()), asyncio.create_task(short())}

    assert waits == [10.0, 0.5, 0.5, 0.5]
    assert cancelled == [0, 1, 1, 1]


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rounds, and the process ends anyway."""
    waits: list[float] = []

    async def never(tasks: Any, timeout: float) -> Any:  # noqa: ASYNC109 - asyncio's own signature
        waits.append(timeout)
        return set(), tasks

    chores = Chores(monkeypatch)
    async with chores.one.running():
        await asyncio.sleep(0)
        monkeypatch.setattr(asyncio, "wait", never)

    assert waits == [0.5] * 10
