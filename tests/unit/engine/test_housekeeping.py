"""What a worker does on the side: what it asks the ledger for, and how long until the next time, with their units."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine import housekeeping as module
from oppsync_worker.engine import sweep as sweep_module
from oppsync_worker.engine.hands import Hands, Hold
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.engine.sweep import Found, Sightings, Suspects, Sweep
from oppsync_worker.ledger import rights
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release

LEASE_MS = 30_000


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.told.append((name, *args, *sorted(kwargs.items())))


class Loop:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 500.0

    def time(self) -> float:
        return self.now


class House:
    """Housekeeping over a list of calls, with its clocks in the test's hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.calls: list[Call] = []
        self.batches: list[list[Call]] = []
        self.answers: list[Any] = []
        self.many: list[Any] = []
        self.loop = Loop()
        self.steady_ms = 9_000
        self.redis_s: tuple[int, int] = (1_700_000_000, 123_456)
        self.answer_takes_s = 0.0
        self.listener = Listener()
        self.hands = Hands()
        self.looked: list[Any] = []

        async def run(_redis: object, call: Call) -> Any:
            self.calls.append(call)
            answer = self.answers.pop(0) if self.answers else None
            if isinstance(answer, BaseException):
                raise answer
            return answer

        async def run_many(_redis: object, calls: list[Call]) -> list[Any]:
            self.batches.append(calls)
            return self.many or [1] * len(calls)

        async def tell_time() -> tuple[int, int]:
            self.loop.now += self.answer_takes_s
            return self.redis_s

        async def look(one: Any) -> None:
            self.looked.append(one)

        monkeypatch.setattr(module, "run_async", run)
        monkeypatch.setattr(module, "run_many_async", run_many)
        monkeypatch.setattr(module, "_steady_ms", lambda: self.steady_ms)
        monkeypatch.setattr(module, "asyncio", self._asyncio())
        given: dict[str, Any] = {"announcements": [], "concurrency": 10, **more}
        if given["concurrency"] is None:
            del given["concurrency"]
        self.one = Housekeeping(
            SimpleNamespace(time=tell_time),  # type: ignore[arg-type]
            self.hands,
            name="w:1",
            reporter=self.listener,  # type: ignore[arg-type]
            lease_ms=LEASE_MS,
            max_crashes=3,
            ttl_s=60,
            reconciler=SimpleNamespace(look=look),  # type: ignore[arg-type]
            look_ms=7_000,
            sweep=SimpleNamespace(chore=None),  # type: ignore[arg-type]
            **given,
        )
        self.slept: list[float] = []
        self.sleeps = 1

    def _asyncio(self) -> Any:
        house = self

        async def sleep(seconds: float) -> None:
            house.slept.append(seconds)
            if len(house.slept) >= house.sleeps:
                house.one._closing = True

        return SimpleNamespace(get_running_loop=lambda: house.loop, create_task=asyncio.create_task, sleep=sleep)

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """What its listener heard."""
        return self.listener.told


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """A lease of 30 s, ten calls at once."""
    return House(monkeypatch)


# Leases.


async def test_leases_are_renewed_three_times_per_lease(house: House) -> None:
    """For another whole one, in milliseconds; the pause is in seconds."""
    house.hands.take("1")
    house.hands.take("2")
    house.answers = [[]]

    assert await house.one._renew() == 10.0
    assert house.calls == [Call("renew", (30_000, "1", "2"))]


async def test_what_is_no_longer_ours_is_not_renewed_again(house: House) -> None:
    """And a worker without claims asks nothing."""
    assert await house.one._renew() == 10.0
    assert house.calls == []
    house.hands.take("1")
    house.hands.take("2")
    house.answers = [[b"1"]]

    await house.one._renew()

    assert house.hands.to_renew() == ["2"]
    assert house.hands.drop("1") is Hold.ABANDONED


@pytest.mark.parametrize(("count", "pieces"), [(1_000, [1_000]), (1_001, [1_000, 1]), (2_000, [1_000, 1_000])])
async def test_a_thousand_leases_are_renewed_at_once(house: House, count: int, pieces: list[int]) -> None:
    """None is left out."""
    for number in range(count):
        house.hands.take(str(number))
    house.answers = [[]] * len(pieces)

    await house.one._renew()

    assert [len(call.arguments) - 1 for call in house.calls] == pieces
    assert [tag for call in house.calls for tag in call.arguments[1:]] == [str(number) for number in range(count)]


# Claims of silent workers.


async def patient(house: House) -> None:
    """Past the patience of the beginning."""
    assert await house.one._restore() == 5.0
    house.loop.now += 15.0


async def test_owners_have_half_a_lease_to_show_that_they_live(house: House) -> None:
    """Before anything is restored; it is looked at every sixth of a lease meanwhile."""
    house.answers = [[0, 0, []]]

    for now, pause in ((500.0, 5.0), (514.9, 5.0), (515.0, 10.0)):
        house.loop.now = now
        assert await house.one._restore() == pause

    assert house.calls == [Call("restore", (200, 3, 60, release(), 1_700_000_000_123 + 15_000))]
    assert house.told == []


async def test_a_link_that_stood_still_gives_owners_a_whole_lease(house: House) -> None:
    """Longer than a quarter of one: nobody behind it could renew."""
    await patient(house)
    house.answers = [[0, 0, []]] * 2
    house.answer_takes_s = 7.5
    assert await house.one._restore() == 10.0
    house.answer_takes_s = 7.51
    assert await house.one._restore() == 5.0
    house.answer_takes_s = 0.0
    house.loop.now += 29.9
    assert await house.one._restore() == 5.0
    house.loop.now += 0.11
    assert await house.one._restore() == 10.0
    assert len(house.calls) == 2


@pytest.mark.parametrize(
    ("answer", "pause", "told"),
    [
        ([0, 0, []], 10.0, []),
        ([1, 0, []], 10.0, [(1, 0, 0)]),
        ([0, 1, []], 10.0, [(0, 1, 0)]),
        ([199, 0, []], 10.0, [(199, 0, 0)]),
        ([200, 0, []], 0.05, [(200, 0, 0)]),
        ([100, 99, [b"j1"]], 0.05, [(100, 99, 1)]),
        ([0, 0, [b"j1"]], 10.0, [(0, 0, 1)]),
    ],
)
async def test_what_was_restored_is_told(
    house: House, answer: list[Any], pause: float, told: list[tuple[int, int, int]]
) -> None:
    """And the rest is fetched at once when there was more than one helping."""
    await patient(house)
    house.answers = [answer]

    assert await house.one._restore() == pause

    expected: list[tuple[Any, ...]] = [
        ("notice", "restored", ("buried", buried), ("in_doubt", doubted), ("restored", restored))
        for restored, doubted, buried in told
    ]
    expected += [
        ("buried_unread", job_id.decode(), "", Cause.POISON, "lost its worker again and again") for job_id in answer[2]
    ]
    assert house.told == expected


# What time decides.


def promoted(*looks: Any, wake_ms: int = 50, clock_ms: int = 1_000, ahead_ms: int = 0) -> list[Any]:
    """An answer to `promote`."""
    return [0, 0, 0, wake_ms, list(looks), clock_ms, ahead_ms]


LOOK = [b"j1", b"t", 1, b"m", 1, 1, 1, 0, b"{}", b"acme", []]


async def test_promoting_tells_what_the_clock_showed_last(house: House) -> None:
    """And how many milliseconds ago that was asked for, by a steady clock."""
    house.answers = [promoted(clock_ms=1_000), promoted(clock_ms=1_500), promoted()]

    await house.one._promote()
    house.steady_ms += 70
    await house.one._promote()
    house.steady_ms += 100
    await house.one._promote()

    assert [call.arguments for call in house.calls] == [
        (200, 250, 60, 40, 7_000, "", 0),
        (200, 250, 60, 40, 7_000, 1_000, 70),
        (200, 250, 60, 40, 7_000, 1_500, 100),
    ]
    assert {call.script for call in house.calls} == {"promote"}
    assert house.one.answered_at is not None


@pytest.mark.parametrize(
    ("wake_ms", "pause"), [(0, 0.005), (4, 0.005), (5, 0.005), (6, 0.006), (50, 0.05), (100, 0.1), (101, 0.1)]
)
async def test_the_ledger_says_when_to_come_again(house: House, wake_ms: int, pause: float) -> None:
    """Ten times a second at least, two hundred times at most."""
    house.answers = [promoted(wake_ms=wake_ms)]

    assert await house.one._promote() == pytest.approx(pause, abs=1e-9)


async def test_a_clock_that_jumped_is_told_once(house: House) -> None:
    """And again only for another jump."""
    house.answers = [promoted(ahead_ms=ahead) for ahead in (0, 5_000, 5_000, 0, 7_000)]

    for _ in range(5):
        await house.one._promote()

    assert house.told == [
        ("notice", "clock_jumped", ("ahead_ms", 5_000)),
        ("notice", "clock_jumped", ("ahead_ms", 7_000)),
    ]


async def test_a_clock_that_jumped_before_this_worker_came_is_told(house: House) -> None:
    """A millisecond counts."""
    house.answers = [promoted(ahead_ms=1)]

    await house.one._promote()

    assert house.told == [("notice", "clock_jumped", ("ahead_ms", 1))]


def test_the_steady_clock_is_in_milliseconds() -> None:
    """And goes on while the machine sleeps, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    assert module._steady_ms() == pytest.approx(time.clock_gettime(clock) * 1_000, abs=5_000)


@pytest.mark.parametrize(("concurrency", "takes"), [(1, 4), (12, 48), (13, 50), (200, 50)])
async def test_so_many_look_ups_are_taken_on(monkeypatch: pytest.MonkeyPatch, concurrency: int, takes: int) -> None:
    """Fifty a round, and four times the concurrency at once, less those that go on; none by one who stops."""
    house = House(monkeypatch, concurrency=concurrency)
    house.answers = [promoted(LOOK, LOOK, LOOK), promoted(), promoted(), promoted()]

    await house.one._promote()
    await house.one._promote()
    for _ in range(3):
        await asyncio.sleep(0)
    await house.one._promote()
    house.one.stop()
    await house.one._promote()

    went_on = min(50, concurrency * 4 - 3)
    assert [call.arguments[3] for call in house.calls] == [takes, went_on, takes, 0]
    assert [one.job_id for one in house.looked] == ["j1"] * 3


async def test_a_worker_has_two_hundred_calls_at_once_unless_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its signs of life announce: a quarter more."""
    house = House(monkeypatch, concurrency=None)

    assert await house.one._present() == 5.0
    assert house.calls == [Call("present", ("w:1", 1, 250, 20_000))]


# Announcing.


async def test_rights_are_looked_at_before_the_first_announcement_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every instance is announced again every quarter of a minute, five hundred a round trip."""
    calls = [Call("instance", (str(number),)) for number in range(1_001)]
    house = House(monkeypatch, announcements=calls)
    house.answers = [[]]

    assert house.one.announced is False
    assert await house.one._announce() == 15.0
    assert house.one.announced is True
    assert await house.one._announce() == 15.0

    assert house.calls == [rights.check("worker")]
    assert [len(batch) for batch in house.batches] == [500, 500, 1] * 2
    assert [call for batch in house.batches[:3] for call in batch] == calls


async def test_an_announcement_that_failed_is_no_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one without rights."""
    house = House(monkeypatch, announcements=[Call("instance", ("a",))] * 2)
    house.many, house.answers = [1, Lost()], [[], [b"+evalsha"]]

    with pytest.raises(Lost):
        await house.one._announce()
    with pytest.raises(rights.RightsMissing, match="role worker"):
        await house.one._announce()
    assert house.one.announced is False


# What goes wrong.


@pytest.mark.parametrize(
    ("chore", "error", "pause", "until", "told"),
    [
        ("renew", Lost("away"), 1.0, 530.0, "ledger_unavailable"),
        ("renew", ResponseError("no"), 1.0, None, "ledger_unavailable"),
        ("restore", ResponseError("no"), 1.0, 530.0, "ledger_unavailable"),
        ("announce", rights.RightsMissing("lacking"), 10.0, None, "rights_missing"),
        ("renew", ZeroDivisionError("defect"), 5.0, None, None),
    ],
)
async def test_a_chore_that_fails_is_done_again(
    house: House,
    caplog: pytest.LogCaptureFixture,
    chore: str,
    error: Exception,
    pause: float,
    until: float | None,
    told: str | None,
) -> None:
    """After a while, and owners that could not renew meanwhile get a lease of patience."""

    async def fail() -> float:
        raise error

    await house.one._keep(chore, fail)

    assert house.slept == [pause]
    assert house.one._patient_until == until
    said: list[tuple[Any, ...]] = [one[:2] for one in house.told]
    assert said == ([("notice", told)] if told else [])
    if told == "ledger_unavailable":
        assert house.told[0][2] == ("chore", chore)
        assert house.told[0][3][0] == "message"
    elif told:
        assert house.told[0][2:] == (("message", "lacking"),)
    else:
        assert [record.getMessage() for record in caplog.records] == ["renew failed"]
        assert caplog.records[0].levelno == logging.ERROR


async def test_a_chore_is_done_until_the_end(house: House) -> None:
    """At its own pace."""
    pauses = iter([0.25, 0.5, 0.75])
    house.sleeps = 3

    async def chore() -> float:
        return next(pauses)

    await house.one._keep("renew", chore)

    assert house.slept == [0.25, 0.5, 0.75]


# The sweep.


def test_what_was_found_is_counted_and_five_are_named() -> None:
    """However many there are."""
    found = Found()

    found.add([(f"j{number}", "lost") for number in range(4)])
    found.add([("a", "ghost"), ("b", "ghost")])

    assert found.counts == Counter(lost=4, ghost=2)
    assert found.some == ["j0 (lost)", "j1 (lost)", "j2 (lost)", "j3 (lost)", "a (ghost)"]


def test_suspects_are_counted_and_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were missed before are kept whatever comes."""
    monkeypatch.setattr(sweep_module, "MOST_SUSPECTS", 3)
    suspects = Suspects(["w"])

    suspects.add({"a": "1", "b": "2"})
    suspects.add({"c": "3", "d": "4", "w": "5"})

    assert suspects.count == 5
    assert suspects.kept == {"a": "1", "b": "2", "c": "3", "w": "5"}


def test_what_was_seen_is_never_forgotten_and_little_else_is_taken_for_it() -> None:
    """Twenty bits for each, a thousand at least; another filter errs elsewhere."""
    sightings, others = Sightings(2_000), [f"other-{number}" for number in range(20_000)]
    sightings.add(f"j{number}" for number in range(2_000))

    assert all(f"j{number}" in sightings for number in range(2_000))
    assert sum(one in sightings for one in others) < 40
    assert (sightings._bits, len(sightings._seen)) == (40_000, 5_001)
    assert Sightings(0)._bits == 1_024
    assert Sightings(10**12)._bits == 8 * 16 * 1024 * 1024
    assert Sightings(1)._salt != Sightings(1)._salt
    # Every bit can be set: a filter that used some of them only would err more often.
    full = Sightings(51)
    full.add(f"x{number}" for number in range(5_000))
    assert sum(byte.bit_count() for byte in full._seen) == 1_024


class Sweeper:
    """A sweep over a list of calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every_s: float, turn: int = 1) -> None:
        self.calls: list[Call] = []
        self.swept = 0

        async def run(_redis: object, call: Call) -> Any:
            self.calls.append(call)
            return turn

        async def sweep() -> Counter[str]:
            self.swept += 1
            return Counter()

        monkeypatch.setattr(sweep_module, "run_async", run)
        self.one = Sweep(
            None,  # type: ignore[arg-type]
            worker="w:1",
            reporter=Listener(),  # type: ignore[arg-type]
            every_s=every_s,
            ttl_s=60,
            patience_s=1.5,
        )
        monkeypatch.setattr(self.one, "sweep", sweep)


@pytest.mark.parametrize(
    ("every_s", "turn", "pause", "asked"),
    [
        (0, 1, 3_600.0, []),
        (-1, 1, 3_600.0, []),
        (0.001, 1, 0.2, [1]),
        (0.4, 1, 0.2, [400]),
        (0.8, 0, 0.2, [800]),
        (900, 1, 225.0, [900_000]),
        (900, 0, 225.0, [900_000]),
    ],
)
async def test_a_sweep_is_done_by_whoever_s_turn_it_is(
    monkeypatch: pytest.MonkeyPatch, every_s: float, turn: int, pause: float, asked: list[int]
) -> None:
    """Asked for four times per interval, which the script is told in milliseconds."""
    sweeper = Sweeper(monkeypatch, every_s, turn)

    assert await sweeper.one.chore() == pause
    assert sweeper.calls == [Call("turn", ("w:1", every_ms)) for every_ms in asked]
    assert sweeper.swept == (turn if asked else 0)
    assert sweeper.one._patience_ms == 1_500


class Notes:
    """Redis, as the sweep writes its notes."""

    def __init__(self, before: dict[bytes, bytes]) -> None:
        self.before = before
        self.written: list[Any] = []
        self.transactions: list[bool] = []

    def pipeline(self, *, transaction: bool) -> "Notes":
        self.transactions.append(transaction)
        return self

    def hgetall(self, key: str) -> None:
        assert key == "oppsync:missing"

    def delete(self, key: str) -> None:
        self.written.append(("delete", key))

    def hincrby(self, key: str, field: str, count: int) -> None:
        self.written.append((key, field, count))

    def hset(self, key: str, mapping: Any) -> "Notes":
        self.written.append((key, mapping))
        return self

    def __await__(self) -> Any:
        return iter(())

    async def execute(self) -> Any:
        return [self.before, 1]

    async def llen(self, name: str) -> int:
        return 2 if name == "opportunities.bulk" else 0

    async def zcard(self, key: str) -> int:
        assert key == "oppsync:leases"
        return 3


def sweeping(monkeypatch: pytest.MonkeyPatch, before: dict[bytes, bytes]) -> tuple[Sweep, Notes, Listener, list[Call]]:
    """A sweep whose notes are kept."""
    calls: list[Call] = []

    async def run(_redis: object, call: Call) -> Any:
        calls.append(call)
        return 1

    monkeypatch.setattr(sweep_module, "run_async", run)
    notes, listener = Notes(before), Listener()
    one = Sweep(notes, worker="w:1", reporter=listener, every_s=1, ttl_s=60)  # type: ignore[arg-type]
    return one, notes, listener, calls


async def test_a_job_is_given_up_when_it_was_missed_twice_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the same time; others are remembered for the next sweep, and what was seen is forgotten."""
    one, notes, _, calls = sweeping(monkeypatch, {b"a": b"1", b"b": b"2", b"s": b"4"})
    before = await one._missing_before()

    async def seen() -> AsyncIterator[Any]:
        yield ["s", "other"]

    monkeypatch.setattr(one, "_seen", seen)
    suspects = Suspects(before)
    suspects.add({"a": "1", "b": "9", "c": "3", "s": "4"})

    assert before == {"a": "1", "b": "2", "s": "4"}
    assert notes.transactions == [True]
    assert await one._lost(suspects, before) == ["a"]
    assert calls == [Call("lose", ("a", "1", release()))]
    assert notes.written == [("delete", "oppsync:missing"), ("oppsync:missing", {"a": "1", "b": "9", "c": "3"})]
    assert one._patience_ms == 60_000


@pytest.mark.parametrize(("count", "looked"), [(0, 0), (4, 1), (5, 0), (6, 1)])
async def test_lanes_are_read_only_when_they_are_too_short(
    monkeypatch: pytest.MonkeyPatch, count: int, looked: int
) -> None:
    """For more suspects than are kept: five messages are on their way, so five suspects are no crime."""
    one, _, _, _ = sweeping(monkeypatch, {})
    monkeypatch.setattr(sweep_module, "MOST_SUSPECTS", 4)
    asked: list[Any] = []

    async def seen() -> AsyncIterator[Any]:
        asked.append("one by one")
        yield []

    async def many(travelling: int, _before: Any) -> dict[str, str]:
        asked.append(travelling)
        return {}

    monkeypatch.setattr(one, "_seen", seen)
    monkeypatch.setattr(one, "_missing_of_many", many)
    suspects = Suspects()
    suspects.add({str(number): "1" for number in range(count)})

    assert await one._lost(suspects, {}) == []
    assert len(asked) == looked
    if count == 6:
        assert asked == [5]


@pytest.mark.parametrize(
    ("count", "says"), [(5, "j0 (w), j1 (w), j2 (w), j3 (w), j4 (w)"), (0, None), (6, " and more")]
)
async def test_what_a_sweep_put_right_is_told(monkeypatch: pytest.MonkeyPatch, count: int, says: str | None) -> None:
    """To whoever listens, and to the ledger, where it is summed up."""
    one, notes, listener, _ = sweeping(monkeypatch, {})
    found = Found()
    found.add([(f"j{number}", "w") for number in range(count)])

    await one._tell(found)

    assert notes.transactions == [False]
    assert notes.written[0] == ("oppsync:sweep", {"last": count})
    assert notes.written[1:] == ([("oppsync:sweep", "found:w", count)] if count else [])
    if says is None:
        assert listener.told == []
    else:
        ((name, counts, some),) = listener.told
        assert (name, counts) == ("strays", {"w": count})
        assert some == says if count == 5 else some.endswith("j4 (w) and more")


def test_pieces_are_of_two_hundred() -> None:
    """And what is no text is a text all the same, which becomes the same bytes again."""
    items = [str(number) for number in range(401)]

    assert [len(piece) for piece in sweep_module._cut(items)] == [200, 200, 1]
    assert sweep_module._texts([b"a\xff", "b", 3]) == ["a\udcff", "b", "3"]
