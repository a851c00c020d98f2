"""The client for threads and the one for asyncio are held to the same claims: what one does, the other does.

Redis is replaced at the clients' own edge, and time by a clock that sleeping moves: so what they were given, what they
send, how often they look and how long they wait is seen exactly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice, pairwise
from math import nan
from typing import Any

import pytest
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

import oppsync
from oppsync import (
    AsyncJobClient,
    CreateOpportunity,
    InvalidJob,
    JobClient,
    JobConflict,
    JobConflicts,
    LedgerUnavailable,
    NoRedisUrl,
    Outcome,
    Receipt,
    State,
    UnknownJob,
    WaitTimeout,
    aio,
    client,
    receipts,
)
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.connect import connection_options
from oppsync_worker.ledger.enqueuing import enqueue, enqueue_in_order
from oppsync_worker.ledger.rights import RightsMissing, check
from oppsync_worker.ledger.scripts import packed

URL = "redis://127.0.0.1:6379/0"


def deals(count: int, **given: Any) -> list[CreateOpportunity]:
    """Creates with ids of their own."""
    least = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130}
    return [CreateOpportunity.parse({**least, "job_id": f"j{number}", **given}) for number in range(count)]


class FakeRedis:
    """What the clients ask of Redis: recorded, and answered as the test says."""

    def __init__(self) -> None:
        self.given: tuple[Any, ...] = ()
        self.closed = 0
        self.checks = self.trips = 0
        self.ids: list[list[str]] = []
        self.lacking: list[bytes] = []
        self.refused: dict[str, list[Any]] = {}
        self.fails: list[Exception | None] = []
        """What each round trip fails with, as long as there is one; the rest succeed."""
        self.states: Callable[[str], list[Any]] = lambda _: [None] * 13
        self.asked: list[str] = []

    def from_url(self, url: str, **options: Any) -> "FakeRedis":
        self.given = (url, options)
        return self

    def script(self, digest: str, arguments: tuple[bytes, ...]) -> Any:
        if digest == load("rights").digest:
            assert arguments == packed(check("producer"))
            self.checks += 1
            return self.lacking
        assert digest == load("enqueue").digest
        ids = [one.decode() for one in arguments[2::11]]
        self.ids.append(ids)
        return [self.refused.get(one, [one.encode(), 1]) for one in ids]

    def trip(self) -> None:
        self.trips += 1
        error = self.fails.pop(0) if self.fails else None
        if error:
            raise error

    def evalsha(self, digest: str, keys: int, *arguments: bytes) -> Any:
        assert keys == 0
        self.trip()
        return self.script(digest, arguments)

    def close(self) -> None:
        self.closed += 1

    def pipeline(self, *, transaction: bool) -> "FakePipe":
        assert transaction is False
        return FakePipe(self)


class FakePipe:
    """Commands in a row."""

    def __init__(self, server: FakeRedis) -> None:
        self.server = server
        self.commands: list[Callable[[], Any]] = []

    def evalsha(self, digest: str, _keys: int, *arguments: bytes) -> None:
        self.commands.append(lambda: self.server.script(digest, arguments))

    def hmget(self, key: str, _names: Any) -> None:
        job_id = key.rpartition(":")[2]
        self.server.asked.append(job_id)
        self.commands.append(lambda: self.server.states(job_id))

    def zscore(self, _key: str, _member: str) -> None:
        self.commands.append(lambda: None)

    def get(self, _key: str) -> None:
        self.commands.append(lambda: None)

    def execute(self, **_: bool) -> list[Any]:
        self.server.trip()
        return [command() for command in self.commands]


class AsyncFakeRedis(FakeRedis):
    """The same, awaited."""

    async def evalsha(self, digest: str, keys: int, *arguments: bytes) -> Any:
        return super().evalsha(digest, keys, *arguments)

    async def aclose(self) -> None:
        self.closed += 1

    def pipeline(self, *, transaction: bool) -> "AsyncFakePipe":
        assert transaction is False
        return AsyncFakePipe(self)


class AsyncFakePipe(FakePipe):
    """The same, awaited."""

    async def execute(self, **_: bool) -> list[Any]:
        return super().execute()


class Clock:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Client:
    """Either client, called as a plain one."""

    def __init__(self, name: str, server: FakeRedis, clock: Clock) -> None:
        self.name = name
        self.server = server
        self.clock = clock
        self.retry: Any = Retry if name == "threads" else AsyncRetry
        self.one: Any = None

    def open(self, *url: str | None) -> "Client":
        self.one = (JobClient if self.name == "threads" else AsyncJobClient)(*url)
        return self

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = getattr(self.one, verb)(*args, **kwargs)
            return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer

        return call


@pytest.fixture(params=["threads", "asyncio"])
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client that is not made yet."""
    clock = Clock()
    server = FakeRedis() if request.param == "threads" else AsyncFakeRedis()
    monkeypatch.setattr(client if request.param == "threads" else aio, "Redis", server)

    class Time:
        """The clock that both modules look at."""

        monotonic = staticmethod(lambda: clock.now)
        sleep = staticmethod(clock.sleep)

    async def sleep(seconds: float) -> None:
        clock.sleep(seconds)

    class Asyncio:
        """What one of them sleeps with."""

    Asyncio.sleep = staticmethod(sleep)  # type: ignore[attr-defined]
    monkeypatch.setattr(client, "time", Time)
    monkeypatch.setattr(aio, "time", Time)
    monkeypatch.setattr(aio, "asyncio", Asyncio)
    return Client(request.param, server, clock)


@pytest.fixture
def one(fresh: Client) -> Client:
    """A client, made."""
    return fresh.open(URL)


def test_it_connects_with_bounded_patience(one: Client) -> None:
    """Two seconds for an answer, one repetition after a twentieth of a second, and the options of everybody."""
    url, options = one.server.given

    retry = options.pop("retry")
    assert url == URL
    assert options == connection_options("redis://h", answer_timeout_s=2.0)
    assert isinstance(retry, one.retry)
    assert retry._retries == 1
    assert isinstance(retry._backoff, ExponentialBackoff)
    assert (retry._backoff._cap, retry._backoff._base) == (0.5, 0.05)
    assert one.server.trips == 0


def test_the_address_is_that_of_the_environment_if_none_is_given(
    fresh: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is given comes first."""
    monkeypatch.setenv("REDIS_URL", "redis://other:1/0")
    assert fresh.open().server.given[0] == "redis://other:1/0"
    assert fresh.open(URL).server.given[0] == URL
    monkeypatch.setenv("REDIS_URL", "http://other")
    with pytest.raises(NoRedisUrl):
        fresh.open()


def test_a_job_is_handed_over_once_the_rights_were_seen(one: Client) -> None:
    """Before the first job only; the answer is its id, or that of the job that stands for it."""
    first, second, third = deals(3)
    one.server.refused["j1"] = [b"other", 0]

    assert one.enqueue(first) == "j0"
    assert (one.server.checks, one.server.trips) == (1, 2)
    assert one.enqueue(second) == "other"
    assert one.enqueue(third) == "j2"
    assert (one.server.checks, one.server.trips) == (1, 4)
    assert one.server.ids == [["j0"], ["j1"], ["j2"]]


def test_without_rights_nothing_is_handed_over(one: Client) -> None:
    """And they are looked at again before the next."""
    (job,) = deals(1)
    one.server.lacking = [b"+evalsha"]

    for _ in range(2):
        with pytest.raises(RightsMissing, match="role producer needs: \\+evalsha"):
            one.enqueue(job)
    assert (one.server.ids, one.server.checks) == ([], 2)
    one.server.lacking = []
    assert one.enqueue(job) == "j0"


def test_a_job_that_is_refused_is_told_with_its_conflict(one: Client) -> None:
    """By `enqueue` as an error, by `hand_over` in the receipt."""
    (job,) = deals(1)
    one.server.refused["j0"] = [b"other", 0, b"id", b"opportunities.create", b"acme"]

    with pytest.raises(JobConflict, match="the id j0 is taken") as refused:
        one.enqueue(job)
    (receipt,) = one.hand_over([job])

    assert (refused.value.job_id, refused.value.standing, refused.value.reason) == ("j0", "other", "id")
    assert (receipt.job_id, receipt.created, str(receipt.conflict)) == ("other", False, str(refused.value))


def source(jobs: list[Any], form: str) -> Any:
    """Jobs as an application may have them."""

    async def trickle() -> AsyncIterator[Any]:
        for job in jobs:
            yield job

    return {"list": lambda: jobs, "iterator": lambda: iter(jobs), "asyncio": trickle}[form]()


@pytest.mark.parametrize("form", ["list", "iterator", "asyncio"])
@pytest.mark.parametrize(("count", "trips"), [(0, []), (1, [1]), (499, [499]), (500, [500]), (501, [500, 1])])
def test_many_are_handed_over_500_a_round_trip(one: Client, form: str, count: int, trips: list[int]) -> None:
    """In order, from whatever they come from; what has no jobs asks Redis nothing."""
    if form == "asyncio" and one.name == "threads":
        form = "list"
    jobs = deals(count)
    batches: list[int] = []
    hand_over = one.one.hand_over
    one.one.hand_over = lambda batch: batches.append(len(batch)) or hand_over(batch)

    assert one.enqueue_many(source(jobs, form)) == [job.job_id for job in jobs]

    assert batches == trips
    assert [job_id for unit in one.server.ids for job_id in unit] == [job.job_id for job in jobs]
    assert one.server.trips == len(trips) + (1 if trips else 0)


@pytest.mark.parametrize("form", ["list", "asyncio"])
def test_of_many_all_but_the_refused_are_handed_over(one: Client, form: str) -> None:
    """And the error knows which."""
    form = "list" if one.name == "threads" else form
    jobs = deals(501)
    for job_id in ("j3", "j500"):
        one.server.refused[job_id] = [b"other", 0, b"key", b"opportunities.create", b"acme"]

    with pytest.raises(JobConflicts, match=r"^2 of 501 jobs were refused: job j3 .* \(and 1 more\)$") as refused:
        one.enqueue_many(source(jobs, form))

    assert [conflict.job_id for conflict in refused.value.conflicts] == ["j3", "j500"]
    expected = [None if job.job_id in {"j3", "j500"} else job.job_id for job in jobs]
    assert list(refused.value.job_ids) == expected
    assert sum(map(len, one.server.ids)) == 501


def test_nothing_of_a_batch_with_a_job_that_is_too_large_is_handed_over(one: Client) -> None:
    """Nor is Redis asked at all."""
    huge = deals(1, fields={f"F{number}": "x" * 1_000 for number in range(70)})

    with pytest.raises(InvalidJob):
        one.enqueue_many([*deals(2), *huge])
    assert one.server.trips == 0


@pytest.mark.parametrize("verb", ["enqueue", "enqueue_many", "hand_over", "outcome", "outcomes", "wait"])
@pytest.mark.parametrize(
    ("error", "says"), [(Lost("at 10.0.0.1"), "not answering"), (ReadOnlyError("READONLY"), "is read-only")]
)
def test_what_redis_fails_with_is_told_in_words(one: Client, verb: str, error: Exception, says: str) -> None:
    """Under one error, which holds the other; a second call starts afresh."""
    (job,) = deals(1)
    given: Any = {"enqueue": job, "enqueue_many": [job], "hand_over": [job], "outcomes": ["j0"]}.get(verb, "j0")
    one.server.fails = [error]

    with pytest.raises(LedgerUnavailable, match=says) as told:
        getattr(one, verb)(given)

    assert told.value.__cause__ is error
    assert "10.0.0.1" not in str(told.value)
    one.server.states = in_state("succeeded")
    getattr(one, verb)(given)


def test_rights_that_could_not_be_asked_for_are_asked_for_again(one: Client) -> None:
    """Whether it failed before or while the job was handed over: what was seen once stays seen."""
    (job,) = deals(1)
    one.server.fails = [Lost(), None, Lost(), None]

    with pytest.raises(LedgerUnavailable):
        one.enqueue(job)
    assert one.server.checks == 0
    with pytest.raises(LedgerUnavailable):
        one.enqueue(job)
    assert one.server.checks == 1
    assert one.enqueue(job) == "j0"
    assert one.server.checks == 1


def in_state(*states: str) -> Callable[[str], list[Any]]:
    """A job that is in each of these in turn, and stays in the last; an empty one is no job."""
    left: Iterator[str] = iter(states[:-1])
    return lambda _: [next(left, states[-1]).encode() or None, *[None] * 12]


def test_outcomes_are_asked_for_in_one_round_trip(one: Client) -> None:
    """In order."""
    one.server.states = lambda job_id: [job_id.encode(), *[None] * 12]

    found = one.outcomes(["queued", "dead", "held"])

    assert found == [
        Outcome("queued", State.QUEUED),
        Outcome("dead", State.DEAD),
        Outcome("held", State.HELD),
    ]
    assert one.server.trips == 1
    assert one.outcome("dead") == found[1]


@pytest.mark.parametrize("state", sorted(state for state in State if state.is_terminal))
def test_a_wait_ends_with_the_job(one: Client, state: State) -> None:
    """With its outcome; the pauses between looks grow by half, from 20 ms to half a second."""
    one.server.states = in_state(*["queued"] * 12, state.value)

    assert one.wait("j1") == Outcome("j1", state)

    assert one.server.asked == ["j1"] * 13
    assert one.clock.slept[0] == 0.02
    assert all(later == pytest.approx(min(pause * 1.5, 0.5)) for pause, later in pairwise(one.clock.slept))
    assert one.clock.slept[-1] == 0.5
    assert len(one.clock.slept) == 12


def test_a_job_that_has_ended_is_not_waited_for(one: Client) -> None:
    """However little time there is."""
    one.server.states = in_state("dead")

    assert one.wait("j1", timeout_s=0.0).state is State.DEAD
    assert one.clock.slept == []


@pytest.mark.parametrize(
    ("timeout_s", "looks"), [(0.0, 1), (0.019, 1), (0.02, 2), (0.0200001, 2), (0.049, 2), (0.051, 3)]
)
def test_a_wait_never_outlasts_its_time(one: Client, timeout_s: float, looks: int) -> None:
    """A pause that would is not begun."""
    one.server.states = in_state("waiting")

    with pytest.raises(WaitTimeout, match=rf"^job j1 is waiting after {timeout_s:g} s$"):
        one.wait("j1", timeout_s=timeout_s)

    assert len(one.server.asked) == looks
    assert sum(one.clock.slept) <= timeout_s


def test_without_a_time_a_wait_goes_on(one: Client) -> None:
    """For days."""
    one.server.states = in_state(*["held"] * 10_000, "succeeded")

    assert one.wait("j1").state is State.SUCCEEDED
    assert sum(one.clock.slept) > 4_900


@pytest.mark.parametrize(
    ("given", "error", "says", "at_most"),
    [
        ({}, UnknownJob, "no job j1 was there within 10 s", 10.0),
        ({"appear_s": 3.0}, UnknownJob, "no job j1 was there within 3 s", 3.0),
        ({"appear_s": 3.0, "timeout_s": 3.0}, UnknownJob, "no job j1 was there within 3 s", 3.0),
        ({"appear_s": 3.0, "timeout_s": 9.0}, UnknownJob, "no job j1 was there within 3 s", 3.0),
        ({"appear_s": 3.0, "timeout_s": 2.9}, WaitTimeout, "job j1 is unknown after 2.9 s", 2.9),
        ({"appear_s": 0.0}, UnknownJob, "no job j1 was there within 0 s", 0.0),
    ],
)
def test_an_id_that_nobody_knows_is_looked_for(
    one: Client, given: dict[str, float], error: type[Exception], says: str, at_most: float
) -> None:
    """As long as it was said, and ten seconds when nothing was said."""
    with pytest.raises(error) as told:
        one.wait("j1", **given)

    assert str(told.value) == says
    assert at_most - 0.5 <= sum(one.clock.slept) <= at_most


@pytest.mark.parametrize(
    "given",
    [{"timeout_s": nan}, {"appear_s": nan}, {"appear_s": nan, "timeout_s": 1.0}, {"timeout_s": nan, "appear_s": 1}],
)
def test_what_is_no_number_is_no_time_to_wait(one: Client, given: dict[str, float]) -> None:
    """It is less than nothing and more than nothing: such a wait would never end."""
    one.server.states = in_state(*[""] * 100, "succeeded")

    with pytest.raises(ValueError, match="must be a number of seconds, not NaN"):
        one.wait("j1", **given)

    assert one.server.asked == one.clock.slept == []


def test_a_job_that_was_there_and_is_forgotten_is_told_at_once(one: Client) -> None:
    """It was kept as long as it should be."""
    one.server.states = in_state("queued", "")

    with pytest.raises(UnknownJob, match=r"^job j1 is no longer known: its outcome was kept as long as it should be$"):
        one.wait("j1")
    assert one.clock.slept == [0.02]


def test_a_job_that_appears_late_is_waited_for(one: Client) -> None:
    """From then on without that limit."""
    one.server.states = in_state(*[""] * 20, *["queued"] * 40, "succeeded")

    assert one.wait("j1").state is State.SUCCEEDED
    assert sum(one.clock.slept) > 20


def test_a_block_closes_its_client(one: Client) -> None:
    """Also after an error, which goes on."""

    async def fail() -> None:
        async with one.one as inside:
            assert inside is one.one
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - two forms of one block
        if one.name == "asyncio":
            asyncio.run(fail())
        with one.one as inside:
            assert inside is one.one
            raise ZeroDivisionError
    assert one.server.closed == 1
    one.close()
    assert one.server.closed == 2


def test_pauses_and_batches_are_what_they_say() -> None:
    """Figures that both share."""
    assert list(islice(receipts.pauses(), 3)) == pytest.approx([0.02, 0.03, 0.045])
    assert receipts.job_id(Receipt("j1", created=True)) == "j1"
    assert list(receipts.batches([])) == []
    assert enqueue_in_order(deals(1)) == [enqueue(deals(1)[0])]


def test_every_name_of_the_package_is_what_it_says() -> None:
    """Each from its home, and no other."""
    assert sorted(oppsync._HOMES) == oppsync.__all__ == dir(oppsync)
    for name in oppsync.__all__:
        assert getattr(oppsync, name).__name__ == name
    with pytest.raises(AttributeError, match=r"^module 'oppsync' has no attribute 'nothing'$"):
        _ = oppsync.nothing
