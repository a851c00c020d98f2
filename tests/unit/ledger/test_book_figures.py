"""The ledger as a worker writes it: how long it is patient, what it repeats, and in which unit it tells of time."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LinkError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import begin as beginning
from oppsync_worker.ledger import book as module
from oppsync_worker.ledger import claims, ends, keys, recalling
from oppsync_worker.ledger.begin import Go, Parked, Soon
from oppsync_worker.ledger.book import BATCH, Book, Replicas, Settled
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.scripts import Call, packed

HAND = ends.Hand("tag", "j1", 60)
JOB = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130)
CALL = Call("settle", ("tag", "j1", "scheduled", 60, "delay", 5))
GO = [b"go", b"1", b"", 10, 0, 20, [], 4_000]
AWAY = LinkError("away")


class World:
    """Redis and time: answers come from a list, and each takes as long as it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pauses: list[float] = []
        self.answers: list[Any] = []
        self.asked: list[list[Call]] = []
        self.takes_s = 0.0
        self.noted = 0
        self.waited: list[tuple[int, int]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def run_many(self, _: Any, calls: list[Call]) -> list[Any]:
        self.asked.append(calls)
        self.now += self.takes_s
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else AWAY
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return list(answer(calls))
        return [answer] * len(calls)

    async def run_and_wait(self, client: Any, calls: list[Call], *, replicas: int, within_ms: int) -> Any:
        self.waited.append((replicas, within_ms))
        return await self.run_many(client, calls), self.noted

    @property
    def calls(self) -> list[Call]:
        """What was asked, one call after the other."""
        return [call for calls in self.asked for call in calls]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """In place of Redis' scripts, and of the clock."""
    made = World()
    monkeypatch.setattr(module, "time", made)
    stub = SimpleNamespace(
        sleep=made.sleep,
        create_task=asyncio.create_task,
        get_running_loop=asyncio.get_running_loop,
        Future=asyncio.Future,
        Task=asyncio.Task,
    )
    monkeypatch.setattr(module, "asyncio", stub)
    monkeypatch.setattr(module, "run_many_async", made.run_many)
    monkeypatch.setattr(module, "run_many_and_wait", made.run_and_wait)
    return made


@pytest.fixture
async def book() -> AsyncIterator[Book]:
    """Patient for ten seconds."""
    made = Book("redis://127.0.0.1:1/0", patience_s=10)
    yield made
    await made.close()


def sent(call: Call) -> Call:
    """As it reaches Redis."""
    return Call(call.script, packed(call))


async def test_an_outage_is_waited_out_with_growing_pauses(world: World, book: Book) -> None:
    """From a twentieth of a second, doubled up to two; then the answer counts."""
    world.answers = [*[AWAY] * 8, b"scheduled"]

    assert await book.surely(CALL) == b"scheduled"

    assert world.pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert world.calls == [sent(CALL)] * 9


async def test_patience_has_an_end(world: World, book: Book) -> None:
    """In seconds; what Redis said last is told in a sentence."""
    with pytest.raises(LedgerUnavailable, match="Redis is not answering"):
        await book.surely(CALL)
    assert 10 < world.now - 1_000 <= 12.1

    world.now = 1_000.0
    with pytest.raises(LedgerUnavailable):
        await book.surely(CALL, patience_s=3)
    assert 3 < world.now - 1_000 <= 4.7


@pytest.mark.parametrize("how", ["settle", "settle_sent", "recall"])
async def test_an_end_is_kept_for_an_hour(world: World, book: Book, how: str) -> None:
    """What became of an attempt is known nowhere else: an outage of minutes must not lose it."""
    world.answers = [b"forgotten"] if how == "recall" else []
    with pytest.raises(LedgerUnavailable):
        await (book.settle(CALL) if how == "settle" else book.settle_sent(CALL, SENT, sent_at=0.0))

    assert 3_600 < world.now - 1_000 <= 3_603


async def test_a_question_is_given_up_with_the_patience_of_the_process(world: World, book: Book) -> None:
    """Nothing was sent, and nothing may be."""
    with pytest.raises(LedgerUnavailable):
        await book.begin(HAND, JOB, horizon_ms=250, marker_field=None)

    assert 10 < world.now - 1_000 <= 12.1


@pytest.mark.parametrize("kind", [ResponseError, NoPermissionError])
async def test_an_end_that_the_ledger_knows_to_be_wrong_is_not_repeated(
    world: World, book: Book, kind: type[RedisError]
) -> None:
    """It would be as wrong the next time; any other refusal may be mended meanwhile."""
    world.answers = [kind("illegal transition from dead to sending")]
    with pytest.raises(LedgerUnavailable, match="illegal transition"):
        await book.surely(CALL)
    assert world.pauses == []

    world.answers = [kind("OOM command not allowed"), b"scheduled"]
    assert await book.surely(CALL) == b"scheduled"
    world.answers = [LinkError("illegal transition"), b"scheduled"]
    assert await book.surely(CALL) == b"scheduled"


async def test_when_it_was_asked_is_when_it_was_asked_last(world: World, book: Book) -> None:
    """On this process' clock: how late the request leaves is counted from it."""
    world.answers, world.takes_s = [AWAY, GO], 0.5

    go = await book.begin(HAND, JOB, horizon_ms=250, marker_field="Sync", own=True)

    assert isinstance(go, Go)
    assert (go.asked_at, go.counted_at, go.age_ms, go.trying_ms) == (pytest.approx(1_000.55), 4_000, 10, 20)
    question = beginning.begin(HAND, JOB, horizon_ms=250, number=1, marker_field="Sync", own=True)
    assert world.calls == [sent(question)] * 2


async def test_a_question_that_was_overtaken_is_asked_anew(world: World, book: Book) -> None:
    """Under a higher number."""
    world.answers = [[b"stale"], [b"soon", 40]]

    assert await book.begin(HAND, JOB, horizon_ms=250, marker_field=None) == Soon(40)

    assert [call.arguments[12] for call in world.calls] == [b"1", b"2"]
    assert all(call.arguments[13] for call in world.calls), "a stranger's message is compared with what is known of it"


@pytest.mark.parametrize(("late_s", "late_ms"), [(0.05, 50), (2.25, 2_250), (60.0, 60_000)])
async def test_a_late_start_is_told_in_milliseconds(world: World, book: Book, late_s: float, late_ms: int) -> None:
    """Whether it is news was decided before."""
    world.answers = [b"1"]

    book.left_late("acme", counted_at=77, late_s=late_s)
    await asyncio.gather(*book._tellings)

    assert world.calls == [sent(beginning.left_late("acme", counted_at=77, late_ms=late_ms))]


async def test_a_late_start_that_redis_does_not_take_is_left_to_the_margin(world: World, book: Book) -> None:
    """The job's end must not be lost over it."""
    book.left_late("acme", counted_at=77, late_s=1.0)
    await asyncio.gather(*book._tellings)

    assert len(world.calls) > 1
    assert not book._tellings


# --- Replicas --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def replicated() -> AsyncIterator[Book]:
    """One that needs two replicas."""
    made = Book("redis://127.0.0.1:1/0", patience_s=10, replicas=Replicas(least=2, within_ms=700))
    yield made
    await made.close()


@pytest.mark.parametrize(("noted", "enough"), [(0, False), (1, False), (2, True), (3, True)])
async def test_a_request_leaves_only_when_enough_replicas_have_taken_note(
    world: World, replicated: Book, noted: int, *, enough: bool
) -> None:
    """Otherwise it is put back, unsent."""
    world.noted, world.answers = noted, [GO, b"scheduled"]

    answer = await replicated.begin(HAND, JOB, horizon_ms=250, marker_field=None)

    assert world.waited == [(2, 700)]
    if enough:
        assert isinstance(answer, Go)
        assert len(world.calls) == 1
    else:
        assert answer == Parked(State.SCHEDULED, "not_replicated")
        assert world.calls[1:] == [sent(ends.not_replicated(HAND))]


async def test_what_does_not_lead_to_a_request_needs_no_replica(world: World, replicated: Book) -> None:
    """Neither another answer, nor another script."""
    world.answers = [[b"soon", 40]]
    assert await replicated.begin(HAND, JOB, horizon_ms=250, marker_field=None) == Soon(40)
    world.answers = [b"scheduled"]
    await replicated.settle(CALL)

    assert world.waited == [(2, 700)]


async def test_others_in_a_round_trip_are_not_undone_for_want_of_replicas(world: World, replicated: Book) -> None:
    """Only a request that would leave is."""
    world.answers = [lambda calls: [GO if call.script == "begin" else b"dead" for call in calls], b"scheduled"]

    begun, settled = await asyncio.gather(
        replicated.begin(HAND, JOB, horizon_ms=250, marker_field=None), replicated.settle(CALL)
    )

    assert (begun, settled) == (Parked(State.SCHEDULED, "not_replicated"), State.DEAD)
    assert [len(calls) for calls in world.asked] == [2, 1]


async def test_an_error_among_answers_stays_an_error(world: World, replicated: Book) -> None:
    """And is repeated like any."""
    world.answers = [lambda calls: [AWAY for _ in calls], GO]
    world.noted = 2

    assert isinstance(await replicated.begin(HAND, JOB, horizon_ms=250, marker_field=None), Go)
    assert len(world.pauses) == 1


def test_no_replica_is_needed_unless_it_is_asked_for() -> None:
    """And then a second is enough time."""
    assert Replicas() == Replicas(0, 1_000)


# --- A ledger that forgot ---------------------------------------------------------------------------------------------

SENT = recalling.Sent(JOB, lease_ms=30_000)


async def test_an_end_is_settled_as_one_of_a_request_that_left(world: World, book: Book) -> None:
    """Once, if the ledger knows of it."""
    world.answers = [b"scheduled"]

    assert await book.settle_sent(CALL, SENT, sent_at=990.0) == Settled(State.SCHEDULED)

    assert world.calls == [sent(recalling.as_sent(CALL))]
    plain = Settled(State.SCHEDULED)
    assert (plain.recalled, plain.surplus, plain.other) == (False, False, None)


async def test_a_ledger_that_forgot_is_told_and_asked_again(
    world: World, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long ago it left, in milliseconds; a job that succeeded otherwise shows what is surplus."""
    recalled = [recalling.Recalled(settle=True), recalling.Recalled(state=State.SUCCEEDED, surplus=True, other=5)]
    monkeypatch.setattr(recalling, "recalled", lambda _: recalled.pop(0))
    world.answers = [b"forgotten", b"x", b"scheduled"]
    as_sent = recalling.as_sent(CALL)
    told = recalling.recall(as_sent, SENT, sent_ms_ago=2_500)

    assert await book.settle_sent(CALL, SENT, sent_at=997.5) == Settled(State.SCHEDULED, recalled=True)
    assert world.calls == [sent(as_sent), sent(told), sent(as_sent)]

    world.answers = [b"forgotten", b"x"]
    found = await book.settle_sent(CALL, SENT, sent_at=997.5)
    assert found == Settled(State.SUCCEEDED, surplus=True, other=5)


async def test_a_ledger_that_forgets_again_and_again_is_unavailable(
    world: World, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five times."""
    monkeypatch.setattr(recalling, "recalled", lambda _: recalling.Recalled(settle=True))
    world.answers = [b"forgotten", b"x"] * 9

    with pytest.raises(LedgerUnavailable, match="forgotten a request again and again"):
        await book.settle_sent(CALL, SENT, sent_at=1.0)

    assert len(world.calls) == 10


async def test_a_stale_end_changes_nothing(world: World, book: Book) -> None:
    """And says so."""
    world.answers = [b"lost", b"lost", b"dead"]

    assert await book.settle(CALL) is None
    assert await book.settle_sent(CALL, SENT, sent_at=1.0) == Settled(None)
    assert await book.settle(CALL) is State.DEAD


# --- Many at once ----------------------------------------------------------------------------------------------------


def echoes(calls: list[Call]) -> list[Any]:
    """Each call's first argument."""
    return [call.arguments[0] for call in calls]


async def test_calls_that_are_made_meanwhile_share_a_round_trip(
    world: World, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty at most; every caller hears its own answer, and round trips are counted."""
    world.answers = [echoes] * 5
    many = [Call("settle", (str(number),)) for number in range(120)]
    tasks = []
    monkeypatch.setattr(module.asyncio, "create_task", lambda one: tasks.append(one) or asyncio.ensure_future(one))

    answers = await asyncio.gather(*(book.surely(call) for call in many))

    assert len(tasks) == 1

    assert answers == [str(number).encode() for number in range(120)]
    assert BATCH == 50
    assert [len(calls) for calls in world.asked] == [50, 50, 20]
    assert book.heard == 3
    assert book._flushing is None
    await book.surely(CALL)
    assert book.heard == 4


async def test_a_call_that_is_wrong_hurts_no_other(world: World, book: Book) -> None:
    """Whatever is wrong with it: it alone is told, and the others are asked again one by one."""
    bug = ValueError("wrong")

    def judged(calls: list[Call]) -> list[Any]:
        if any(call.arguments[0] == b"bad" for call in calls):
            raise bug
        return echoes(calls)

    world.answers = [judged] * 9
    calls = [Call("settle", (name,)) for name in ("a", "bad", "b")]

    answers = await asyncio.gather(*(book.surely(call) for call in calls), return_exceptions=True)

    assert answers == [b"a", bug, b"b"]
    assert [len(calls) for calls in world.asked] == [3, 1, 1, 1]


async def test_an_argument_that_is_none_is_told_to_its_caller_before_anything_is_asked(
    world: World, book: Book
) -> None:
    """It never joins the others."""
    with pytest.raises(TypeError):
        await book.surely(Call("settle", (None,)))  # type: ignore[arg-type]

    assert world.asked == []


async def test_a_caller_that_was_cancelled_hurts_no_other(world: World, book: Book) -> None:
    """Its answer is dropped."""
    world.answers = [echoes]
    one, two = (asyncio.ensure_future(book.surely(Call("settle", (name,)))) for name in "ab")
    await asyncio.sleep(0)
    one.cancel()

    assert await two == b"b"
    with pytest.raises(asyncio.CancelledError):
        await one


# --- The rest --------------------------------------------------------------------------------------------------------


class Client:
    """Redis, for what is no script."""

    def __init__(self, found: Any) -> None:
        self.found, self.asked = found, []

    async def mget(self, names: list[str]) -> Any:
        self.asked.append(names)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_whose_records_are_is_asked_in_one_go(book: Book) -> None:
    """Those that are nobody's are left out."""
    book.redis = client = Client([b"j1", None, "j2"])  # type: ignore[assignment]

    assert await book.owners("acme", [7, 8, 9]) == {7: "j1", 9: "j2"}

    assert client.asked == [[keys.made("acme", one) for one in (7, 8, 9)]]
    book.redis = Client(AWAY)  # type: ignore[assignment]
    with pytest.raises(LedgerUnavailable, match="Redis is not answering"):
        await book.owners("acme", [7])


async def test_a_claim_is_handed_back_once_and_otherwise_left_to_its_lease(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops does not wait for Redis."""
    calls: list[Call] = []

    async def run(_: Any, call: Call) -> None:
        calls.append(call)
        raise AWAY

    monkeypatch.setattr(module, "run_async", run)

    await book.release("tag")

    assert calls == [claims.release("tag")]


async def test_connections_are_few_and_waited_for(book: Book) -> None:
    """Hundreds of jobs share thirty-two; a command is tried once more by itself, on a new connection."""
    pool = book._pool
    assert (pool.max_connections, pool.timeout) == (32, None)  # type: ignore[attr-defined]
    assert pool.connection_kwargs["retry"].get_retries() == 1
    assert book.redis.connection_pool is pool


async def test_connections_are_closed_with_the_book() -> None:
    """Client and pool, which is not the client's own."""
    closed: list[str] = []
    made = Book("redis://127.0.0.1:1/0", patience_s=10)

    def closing(name: str) -> Any:
        async def close() -> None:
            closed.append(name)

        return SimpleNamespace(aclose=close)

    made.redis, made._pool = closing("client"), closing("pool")
    await made.close()

    assert closed == ["client", "pool"]
