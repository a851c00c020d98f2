"""What each chore asks of the ledger, in which unit, and when it comes again."""

import asyncio
import time
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine import housekeeping
from oppsync_worker.engine.hands import Hands
from oppsync_worker.engine.housekeeping import Housekeeping
from oppsync_worker.ledger.rights import RightsMissing
from oppsync_worker.ledger.scripts import Call

LEASE_MS = 30_000
NOTHING_PROMOTED = [0, 0, 0, 60_000, [], 1_700_000_000_000, 0]


class Ledger:
    """Redis, as the chores see it: answers by script, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.answers: dict[str, Any] = {}
        self.clock_s = (1_700_000_000, 250_999)

    async def run(self, _: object, call: Call) -> Any:
        """One script."""
        self.asked.append(call)
        answer = self.answers.get(call.script)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run_many(self, _: object, calls: list[Call]) -> list[Any]:
        """Many scripts; an answer may be an exception."""
        self.asked += calls
        return [self.answers.get(call.script) for call in calls]

    async def time(self) -> tuple[int, int]:
        """Redis' clock."""
        return self.clock_s


class Listener:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def notice(self, event: str, **fields: object) -> None:
        """A line."""
        self.heard.append((event, fields))

    def buried_unread(self, *told: object) -> None:
        """A letter."""
        self.heard.append(("buried", *told))


class Looks:
    """Does look-ups that do not end before they are told to."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()
        self.taken: list[str] = []

    async def look(self, look: Any) -> None:
        """One of them."""
        self.taken.append(look.job_id)
        await self.ends.wait()


class Sweeper:
    """Never has a turn."""

    async def chore(self) -> float:
        """Nothing."""
        return 3_600.0


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """In Redis' place."""
    one = Ledger()
    monkeypatch.setattr(housekeeping, "run_async", one.run)
    monkeypatch.setattr(housekeeping, "run_many_async", one.run_many)
    return one


def chores(ledger: Ledger, *, looks: Looks | None = None, **given: Any) -> tuple[Housekeeping, Hands, Listener]:
    """Of a worker that has just started."""
    hands, listener = Hands(), Listener()
    parts: dict[str, Any] = {
        "name": "host:7",
        "reporter": listener,
        "lease_ms": LEASE_MS,
        "max_crashes": 5,
        "ttl_s": 86_400,
        "announcements": [],
        "reconciler": looks,
        "look_ms": 90_000,
        "sweep": Sweeper(),
        "concurrency": 10,
    }
    return Housekeeping(cast("Any", ledger), hands, **{**parts, **given}), hands, listener


async def test_leases_are_renewed_three_times_a_lease(ledger: Ledger) -> None:
    """One renewal may be lost, and the one after it still comes in time."""
    ledger.answers["renew"] = []
    keeping, hands, _ = chores(ledger)
    for tag in ("1", "2", "3"):
        hands.take(tag)
    hands.settle("2")

    assert await keeping._renew() == 10.0  # seconds, of a lease of 30
    assert ledger.asked == [Call("renew", (LEASE_MS, "1", "3"))]


async def test_a_claim_that_is_no_longer_ours_is_not_renewed_again(ledger: Ledger) -> None:
    """Renewing it for ever would keep nobody's claim; the others go on."""
    ledger.answers["renew"] = [b"1"]
    keeping, hands, _ = chores(ledger)
    hands.take("1")
    hands.take("2")

    await keeping._renew()

    assert hands.to_renew() == ["2"]


async def test_every_claim_is_renewed_however_many_there_are(ledger: Ledger) -> None:
    """In pieces that do not hold Redis up."""
    ledger.answers["renew"] = []
    keeping, hands, _ = chores(ledger)
    tags = [str(number) for number in range(2_001)]
    for tag in tags:
        hands.take(tag)

    await keeping._renew()

    assert [len(call.arguments) - 1 for call in ledger.asked] == [1_000, 1_000, 1]
    assert [tag for call in ledger.asked for tag in call.arguments[1:]] == tags


async def test_a_new_worker_gives_living_owners_half_a_lease_to_renew(ledger: Ledger) -> None:
    """Redis may have been away before it came: at first it restores nothing, and looks again within the lease."""
    keeping, _, _ = chores(ledger)
    began = asyncio.get_running_loop().time()

    assert await keeping._restore() == 5.0
    assert ledger.asked == []
    assert keeping._patient_until == pytest.approx(began + 15.0, abs=1.0)


async def test_restoring_names_its_bounds_on_redis_clock(ledger: Ledger) -> None:
    """What reaches Redis later than half a lease after it told the time does nothing."""
    ledger.answers["restore"] = [0, 0, []]
    keeping, _, listener = chores(ledger)
    keeping._patient_until = 0.0

    assert await keeping._restore() == 10.0

    (call,) = ledger.asked
    most, crashes, ttl_s, _, not_after_ms = call.arguments
    assert (call.script, most, crashes, ttl_s) == ("restore", 200, 5, 86_400)
    assert not_after_ms == 1_700_000_000_250 + 15_000
    assert listener.heard == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([1, 0, []], {"restored": 1, "in_doubt": 0, "buried": 0}),
        ([0, 2, []], {"restored": 0, "in_doubt": 2, "buried": 0}),
        ([0, 0, [b"j"]], {"restored": 0, "in_doubt": 0, "buried": 1}),
    ],
)
async def test_what_was_restored_is_told(ledger: Ledger, answer: list[Any], told: dict[str, int]) -> None:
    """And each poison by its name."""
    ledger.answers["restore"] = answer
    keeping, _, listener = chores(ledger)
    keeping._patient_until = 0.0

    assert await keeping._restore() == 10.0

    letters = [("buried", one.decode(), "", Cause.POISON, "lost its worker again and again") for one in answer[2]]
    assert listener.heard == [("restored", told), *letters]


@pytest.mark.parametrize("answer", [[200, 0, []], [100, 99, [b"j"]]])
async def test_a_full_batch_is_followed_by_the_next_at_once(ledger: Ledger, answer: list[Any]) -> None:
    """More of them wait."""
    ledger.answers["restore"] = answer
    keeping, _, _ = chores(ledger)
    keeping._patient_until = 0.0

    assert await keeping._restore() == 0.05


@pytest.mark.parametrize(("stood_s", "patient"), [(7.0, False), (8.0, True)])
async def test_a_link_that_stood_still_makes_patient_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, stood_s: float, *, patient: bool
) -> None:
    """More than a quarter of a lease: nobody behind it could renew, so a whole lease passes first."""
    ledger.answers["restore"] = [0, 0, []]
    keeping, _, _ = chores(ledger)
    keeping._patient_until = 0.0
    moments = iter([100.0, 100.0 + stood_s])

    class Loop:
        def time(self) -> float:
            return next(moments)

    monkeypatch.setattr(housekeeping.asyncio, "get_running_loop", Loop)

    assert await keeping._restore() == (5.0 if patient else 10.0)
    assert len(ledger.asked) == (0 if patient else 1)
    assert keeping._patient_until == (138.0 if patient else 0.0)


async def test_promoting_names_its_bounds(ledger: Ledger) -> None:
    """Most of each kind, the horizon in ms, the retention in s, look-ups by room, and a look-up's patience in ms."""
    ledger.answers["promote"] = NOTHING_PROMOTED
    keeping, _, listener = chores(ledger)

    assert await keeping._promote() == 0.1
    await keeping._promote()

    first, second = ledger.asked
    assert first == Call("promote", (200, 250, 86_400, 40, 90_000, "", 0))
    assert second.arguments[5] == 1_700_000_000_000
    assert 0 <= cast("int", second.arguments[6]) < 5_000
    assert keeping.answered_at == pytest.approx(time.monotonic(), abs=5)
    assert listener.heard == []


@pytest.mark.parametrize(("wake_ms", "pause_s"), [(0, 0.005), (4, 0.005), (20, 0.02), (100, 0.1), (5_000, 0.1)])
async def test_promoting_comes_back_when_the_ledger_says_so(ledger: Ledger, wake_ms: int, pause_s: float) -> None:
    """Ten times a second at least, two hundred times at most."""
    ledger.answers["promote"] = [0, 0, 0, wake_ms, [], 1, 0]
    keeping, _, _ = chores(ledger)

    assert await keeping._promote() == pytest.approx(pause_s)


async def test_a_jump_of_the_clock_is_told_once(ledger: Ledger) -> None:
    """And again when there is another after it was made up for."""
    keeping, _, listener = chores(ledger)
    for ahead_ms in (0, 500, 400, 0, 700):
        ledger.answers["promote"] = [0, 0, 0, 0, [], 1, ahead_ms]
        await keeping._promote()

    assert listener.heard == [("clock_jumped", {"ahead_ms": 500}), ("clock_jumped", {"ahead_ms": 700})]


def given_look(name: bytes) -> list[Any]:
    """As `promote` hands one out."""
    return [name, b"t", 1, b"{}", 1, 1, 1, 0, b"", b"acme", []]


async def test_look_ups_in_hand_take_room_until_they_end(ledger: Ledger) -> None:
    """Four times the concurrency, fifty at most a round, none when the worker stops."""
    looks = Looks()
    keeping, _, _ = chores(ledger, looks=looks)
    ledger.answers["promote"] = [0, 0, 0, 0, [given_look(b"a"), given_look(b"b")], 1, 0]
    await keeping._promote()
    await asyncio.sleep(0)
    ledger.answers["promote"] = NOTHING_PROMOTED
    await keeping._promote()
    looks.ends.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await keeping._promote()
    keeping.stop()
    await keeping._promote()

    assert looks.taken == ["a", "b"]
    assert [call.arguments[3] for call in ledger.asked] == [40, 38, 40, 0]


async def test_no_round_takes_more_than_fifty_look_ups(ledger: Ledger) -> None:
    """Whatever the concurrency."""
    ledger.answers["promote"] = NOTHING_PROMOTED
    keeping, _, _ = chores(ledger, concurrency=200)

    await keeping._promote()

    assert ledger.asked[0].arguments[3] == 50


async def test_rights_are_looked_at_before_the_first_announcement_only(ledger: Ledger) -> None:
    """Every instance is announced, in pieces, every fifteen seconds."""
    ledger.answers["rights"] = []
    announcements = [Call("tell", (number,)) for number in range(501)]
    keeping, _, _ = chores(ledger, announcements=announcements)
    assert not keeping.announced

    assert await keeping._announce() == 15.0
    assert keeping.announced
    first, *others = ledger.asked
    assert first.script != "tell"
    assert others == announcements
    ledger.asked.clear()
    await keeping._announce()
    assert ledger.asked == announcements


async def test_an_announcement_that_failed_is_no_announcement(ledger: Ledger) -> None:
    """It is made again."""
    ledger.answers |= {"rights": [], "tell": ResponseError("no")}
    keeping, _, _ = chores(ledger, announcements=[Call("tell", (1,))])

    with pytest.raises(ResponseError):
        await keeping._announce()

    assert not keeping.announced


async def test_a_sign_of_life_tells_how_many_hands(ledger: Ledger) -> None:
    """A quarter more than the concurrency; four signs within the time after which a worker counts as silent."""
    keeping, _, _ = chores(ledger)

    assert await keeping._present() == 5.0
    assert ledger.asked == [Call("present", ("host:7", 1, 13, 20_000))]


@pytest.mark.parametrize(
    ("chore", "error", "pause_s", "heard", "patient"),
    [
        ("renew", RedisConnectionError("x"), 1.0, "ledger_unavailable", True),
        ("renew", ResponseError("x"), 1.0, "ledger_unavailable", False),
        ("restore", ResponseError("x"), 1.0, "ledger_unavailable", True),
        ("announce", RightsMissing("x"), 10.0, "rights_missing", False),
        ("renew", ZeroDivisionError("x"), 5.0, None, False),
    ],
)
async def test_a_chore_that_fails_is_done_again(
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    chore: str,
    error: Exception,
    pause_s: float,
    heard: str | None,
    *,
    patient: bool,
) -> None:
    """After a while by the kind of failure; while Redis was away nobody could renew, so a lease passes untouched."""
    keeping, _, listener = chores(ledger)
    pauses: list[float] = []

    async def fails() -> float:
        raise error

    async def slept(seconds: float) -> None:
        pauses.append(seconds)
        keeping._closing = len(pauses) == 2

    monkeypatch.setattr(housekeeping.asyncio, "sleep", slept)
    began = asyncio.get_running_loop().time()
    await keeping._keep(chore, fails)

    assert pauses == [pause_s, pause_s]
    assert [one[0] for one in listener.heard] == ([heard] * 2 if heard else [])
    assert keeping._patient_until == (pytest.approx(began + 30.0, abs=1.0) if patient else None)


async def test_all_chores_run_and_the_worker_says_that_it_is_gone(ledger: Ledger) -> None:
    """When the block is left."""
    ledger.answers |= {"renew": [], "promote": NOTHING_PROMOTED, "rights": [], "restore": [0, 0, []]}
    keeping, hands, _ = chores(ledger, announcements=[Call("tell", (1,))])
    hands.take("1")

    async with keeping.running():
        async with asyncio.timeout(10):
            while not {call.script for call in ledger.asked} >= {"renew", "promote", "tell", "present"}:  # noqa: ASYNC110 - the ledger tells nobody
                await asyncio.sleep(0)

    assert ledger.asked[-1] == Call("present", ("host:7", 0, 0, 20_000))
