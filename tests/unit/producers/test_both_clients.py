"""The client for threads and the one for asyncio, held to the same claims: what Redis is sent, and what comes back."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError

from oppsync import (
    AsyncJobClient,
    CreateOpportunity,
    InvalidJob,
    JobClient,
    JobConflict,
    JobConflicts,
    LedgerUnavailable,
    NoRedisUrl,
    State,
    UnknownJob,
    WaitTimeout,
)
from oppsync import aio as asynchronous
from oppsync import client as synchronous
from oppsync import receipts as shared
from oppsync_worker.contract.outcomes import OUTCOME_FIELDS
from oppsync_worker.ledger.enqueuing import enqueue_in_order
from oppsync_worker.ledger.rights import RightsMissing, check
from oppsync_worker.ledger.scripts import Call

URL = "redis://127.0.0.1:1/0"


def deal(number: int = 1, **given: object) -> CreateOpportunity:
    """A create with an id of its own."""
    fields = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130, "job_id": f"j{number}"}
    return CreateOpportunity.parse({**fields, **given})


class Redis:
    """What both clients ask, and what they are answered."""

    def __init__(self) -> None:
        self.checks: list[Call] = []
        self.trips: list[list[Call]] = []
        self.lacking: list[bytes] = []
        self.fails: RedisError | None = None
        self.conflicting: dict[str, list[bytes]] = {}
        self.known: set[str] = set()
        self.asked: list[tuple[Any, ...]] = []
        self.states: Iterator[str] = iter(())
        self.pipelines: list[bool] = []
        self.closed = 0
        self.last: list[tuple[Any, ...]] = []
        self.execute: Callable[[], Any] = self.executed

    def run(self, _: object, call: Call) -> list[bytes]:
        """The look at the user's rights."""
        self.checks.append(call)
        if self.fails:
            raise self.fails
        return self.lacking

    def run_in_order(self, _: object, calls: list[Call]) -> list[Any]:
        """A round trip of jobs."""
        if self.fails:
            raise self.fails
        self.trips.append(calls)
        answers = []
        for call in calls:
            ids = [str(one) for one in call.arguments[2::11]]
            answers.append([[one.encode(), int(one not in self.known), *self.conflicting.get(one, [])] for one in ids])
        return answers

    def pipeline(self, *, transaction: bool) -> "Redis":
        """For outcomes."""
        self.pipelines.append(transaction)
        return self

    def hmget(self, *given: Any) -> None:
        """An entry."""
        self.asked.append(("hmget", *given))

    def zscore(self, *given: Any) -> None:
        """When it is due."""
        self.asked.append(("zscore", *given))

    def get(self, *given: Any) -> None:
        """Its result."""
        self.asked.append(("get", *given))

    def executed(self) -> list[Any]:
        """The answers to all that was asked."""
        if self.fails:
            raise self.fails
        asked, self.asked = self.asked, []
        answers: list[Any] = []
        for name, *_ in asked:
            if name == "hmget":
                state = next(self.states, "")
                answers.append([state.encode() if field == "state" else None for field in OUTCOME_FIELDS])
            else:
                answers.append(1_700_000_000_250.0 if name == "zscore" else None)
        self.last = asked
        return answers


class Both:
    """One of the clients, its verbs called and, where need be, awaited."""

    def __init__(self, client: JobClient | AsyncJobClient) -> None:
        self.client = client

    async def __call__(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """The verb's answer."""
        answer = getattr(self.client, verb)(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    """In place of the scripts of both."""
    one = Redis()

    async def run_async(client: object, call: Call) -> Any:
        return one.run(client, call)

    async def run_in_order_async(client: object, calls: list[Call]) -> Any:
        return one.run_in_order(client, calls)

    monkeypatch.setattr(synchronous, "run", one.run)
    monkeypatch.setattr(synchronous, "run_in_order", one.run_in_order)
    monkeypatch.setattr(asynchronous, "run_async", run_async)
    monkeypatch.setattr(asynchronous, "run_in_order_async", run_in_order_async)
    return one


@pytest.fixture(params=[JobClient, AsyncJobClient], ids=["threads", "asyncio"])
def client(request: pytest.FixtureRequest, redis: Redis) -> Both:
    """Either client, on that Redis."""
    one = request.param(URL)

    class Link:
        pipeline = staticmethod(redis.pipeline)

        def close(self) -> None:
            redis.closed += 1

        async def aclose(self) -> None:
            redis.closed += 1

    one._redis = Link()
    if request.param is AsyncJobClient:

        async def execute() -> list[Any]:
            return redis.executed()

        redis.execute = execute
    return Both(one)


async def test_a_job_is_handed_over_as_the_ledger_wants_it(client: Both, redis: Redis) -> None:
    """In one round trip, after one look at the rights of a producer."""
    assert await client("enqueue", deal(1)) == "j1"
    assert await client("enqueue", deal(2)) == "j2"

    assert redis.checks == [check("producer")]
    assert redis.trips == [enqueue_in_order([deal(1)]), enqueue_in_order([deal(2)])]


async def test_many_jobs_go_in_batches_of_five_hundred(client: Both, redis: Redis) -> None:
    """In their order."""
    jobs = [deal(number) for number in range(1_001)]

    assert await client("enqueue_many", iter(jobs)) == [one.job_id for one in jobs]

    assert redis.trips == [enqueue_in_order(jobs[start : start + 500]) for start in (0, 500, 1_000)]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1_000])
async def test_jobs_from_an_asynchronous_source_go_in_the_same_batches(redis: Redis, count: int) -> None:
    """And nothing is sent for an empty rest."""
    jobs = [deal(number) for number in range(count)]

    async def source() -> AsyncIterator[CreateOpportunity]:
        for one in jobs:
            yield one

    async with AsyncJobClient(URL) as client:
        assert await client.enqueue_many(source()) == [one.job_id for one in jobs]

    assert redis.trips == [enqueue_in_order(jobs[start : start + 500]) for start in range(0, count, 500)]


async def test_receipts_tell_what_was_new(client: Both, redis: Redis) -> None:
    """And what was there."""
    redis.known = {"j2"}

    receipts = await client("hand_over", [deal(1), deal(2)])

    assert [(one.job_id, one.created, one.conflict) for one in receipts] == [("j1", True, None), ("j2", False, None)]


CONFLICT = [b"key", b"opportunities.update", b"globex"]


async def test_a_refused_job_is_raised(client: Both, redis: Redis) -> None:
    """With both jobs named."""
    redis.conflicting = {"j1": CONFLICT}

    with pytest.raises(JobConflict) as raised:
        await client("enqueue", deal(1))

    assert raised.value.reason == "key"
    assert "opportunities.create for instance 'acme'" in str(raised.value)
    assert "opportunities.update for instance 'globex'" in str(raised.value)


async def test_of_many_jobs_the_refused_ones_are_told_and_the_others_are_there(client: Both, redis: Redis) -> None:
    """Each in its place, over all batches."""
    redis.conflicting = {"j1": CONFLICT, "j501": CONFLICT}
    jobs = [deal(number) for number in range(503)]

    with pytest.raises(JobConflicts) as raised:
        await client("enqueue_many", jobs)

    assert [one.job_id for one in raised.value.conflicts] == ["j1", "j501"]
    assert raised.value.job_ids == tuple(None if n in (1, 501) else f"j{n}" for n in range(503))


async def test_a_job_that_is_too_large_stops_before_anything_is_asked(client: Both, redis: Redis) -> None:
    """Of its batch, nothing is sent."""
    huge = deal(2, fields={f"F{number}": "x" * 1_000 for number in range(70)})

    with pytest.raises(InvalidJob):
        await client("hand_over", [deal(1), huge])

    assert (redis.checks, redis.trips) == ([], [])


async def test_a_user_without_rights_hears_of_it_each_time(client: Both, redis: Redis) -> None:
    """Until they are given; then no more is asked."""
    redis.lacking = [b"evalsha", b"~oppsync:*"]
    for _ in range(2):
        with pytest.raises(RightsMissing, match=r"the role producer needs: evalsha, ~oppsync:\*"):
            await client("enqueue", deal(1))
    redis.lacking = []
    await client("enqueue", deal(1))
    await client("enqueue", deal(1))

    assert (len(redis.checks), len(redis.trips)) == (3, 2)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RedisConnectionError("secret"), "Redis is not answering (ConnectionError)"),
        (OutOfMemoryError("x"), "Redis is out of memory"),
    ],
)
@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        ("enqueue", deal(1)),
        ("enqueue_many", [deal(1)]),
        ("hand_over", [deal(1)]),
        ("outcome", "j1"),
        ("outcomes", ["j1"]),
        ("wait", "j1"),
    ],
)
async def test_every_verb_says_when_redis_is_not_to_be_had(
    client: Both, redis: Redis, verb: str, argument: object, error: RedisError, says: str
) -> None:
    """In words for a person; what the library said is the cause."""
    redis.fails = error

    with pytest.raises(LedgerUnavailable) as raised:
        await client(verb, argument)

    assert str(raised.value).startswith(says)
    assert raised.value.__cause__ is error


async def test_outcomes_are_asked_for_in_one_round_trip(client: Both, redis: Redis) -> None:
    """In order; no transaction is needed to look."""
    redis.states = iter(["queued", "dead"])

    first, second = await client("outcomes", ["j1", "j2"])

    assert [(one.job_id, one.state) for one in (first, second)] == [("j1", State.QUEUED), ("j2", State.DEAD)]
    assert first.due is not None
    assert first.due.timestamp() == 1_700_000_000.25
    assert redis.pipelines == [False]
    assert redis.last == [
        asked
        for one in ("j1", "j2")
        for asked in (
            ("hmget", f"oppsync:job:{one}", OUTCOME_FIELDS),
            ("zscore", "oppsync:schedule", one),
            ("get", f"celery-task-meta-{one}"),
        )
    ]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept; the clock goes on by them and by nothing else."""
    slept: list[float] = []

    def pause(seconds: float) -> None:
        assert len(slept) < 5_000, "waits without end"
        slept.append(seconds)

    async def sleep(seconds: float) -> None:
        pause(seconds)

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return 1_000.0 + sum(slept)

        sleep = staticmethod(pause)

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return sleep if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr(synchronous, "time", Clock)
    monkeypatch.setattr(asynchronous, "time", Clock)
    monkeypatch.setattr(asynchronous, "asyncio", Loop())
    return slept


async def test_waiting_looks_ever_more_rarely_until_the_job_has_ended(
    client: Both, redis: Redis, pauses: list[float]
) -> None:
    """From a fiftieth of a second to a half."""
    redis.states = iter([*["queued"] * 8, *["sending"] * 2, "succeeded"])

    assert (await client("wait", "j1")).state == State.SUCCEEDED

    expected = [0.02, 0.03, 0.045, 0.0675, 0.10125, 0.151875, 0.2278125, 0.34171875, 0.5, 0.5]
    assert pauses == pytest.approx(expected)


@pytest.mark.parametrize("state", ["succeeded", "dead", "discarded", "merged", "expired"])
async def test_a_job_that_has_ended_is_not_waited_for(
    client: Both, redis: Redis, pauses: list[float], state: str
) -> None:
    """However it ended."""
    redis.states = iter([state])

    assert (await client("wait", "j1", timeout_s=0.0)).state == state
    assert pauses == []


@pytest.mark.parametrize("state", ["queued", "sending", "scheduled", "waiting", "held", "blocked", "in_doubt"])
async def test_a_wait_ends_in_time_with_where_the_job_is(
    client: Both, redis: Redis, pauses: list[float], state: str
) -> None:
    """It never sleeps beyond its time."""
    redis.states = iter([state] * 1_000)

    with pytest.raises(WaitTimeout, match=rf"^job j1 is {state} after 30 s$"):
        await client("wait", "j1", timeout_s=30.0)

    assert 29.5 <= sum(pauses) <= 30.0


@pytest.mark.parametrize("timeout_s", [None, 10.0, 60.0])
async def test_an_id_that_nobody_knows_is_looked_for_for_ten_seconds(
    client: Both, pauses: list[float], timeout_s: float | None
) -> None:
    """Also by whoever would wait longer."""
    with pytest.raises(UnknownJob, match=r"^no job j1 was there within 10 s$"):
        await client("wait", "j1", timeout_s=timeout_s)

    assert 9.5 <= sum(pauses) <= 10.0


async def test_who_waits_less_than_that_times_out(client: Both, pauses: list[float]) -> None:
    """An id may still appear."""
    with pytest.raises(WaitTimeout, match=r"^job j1 is unknown after 9\.9 s$"):
        await client("wait", "j1", timeout_s=9.9)

    assert sum(pauses) <= 9.9


async def test_the_patience_with_an_unknown_id_may_be_chosen(client: Both, pauses: list[float]) -> None:
    """In seconds."""
    with pytest.raises(UnknownJob, match=r"^no job j1 was there within 2\.5 s$"):
        await client("wait", "j1", appear_s=2.5)

    assert 2.0 <= sum(pauses) <= 2.5


async def test_a_job_that_was_seen_and_is_forgotten_ends_the_wait_at_once(
    client: Both, redis: Redis, pauses: list[float]
) -> None:
    """Its outcome was kept as long as it should be."""
    redis.states = iter(["", "queued", ""])

    with pytest.raises(UnknownJob, match=r"^job j1 is no longer known"):
        await client("wait", "j1")

    assert len(pauses) == 2


async def test_leaving_the_block_closes_the_connections(client: Both, redis: Redis) -> None:
    """Once."""
    if isinstance(client.client, AsyncJobClient):
        async with client.client as entered:
            assert entered is client.client
    else:
        with client.client as told:
            assert told is client.client

    assert redis.closed == 1


@pytest.mark.parametrize("kind", [JobClient, AsyncJobClient])
def test_a_client_s_patience_with_redis_is_bounded(kind: Callable[..., Any]) -> None:
    """Seconds: two for an answer, three for a connection, one more try after a twentieth to a half."""
    link = kind(URL)._redis
    options = link.connection_pool.connection_kwargs

    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 3.0)
    assert (options["protocol"], options["health_check_interval"], options["socket_keepalive"]) == (2, 25, True)
    assert options["retry"]._retries == 1
    backoff = options["retry"]._backoff
    assert [backoff.compute(failures) for failures in (0, 1, 9)] == pytest.approx([0.05, 0.1, 0.5])
    assert (options["host"], options["port"], options["db"]) == ("127.0.0.1", 1, 0)


@pytest.mark.parametrize("kind", [JobClient, AsyncJobClient])
def test_the_address_is_the_one_that_was_given_or_the_environment_s(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given one counts."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:2/3")

    assert kind()._redis.connection_pool.connection_kwargs["port"] == 2
    assert kind(URL)._redis.connection_pool.connection_kwargs["port"] == 1
    monkeypatch.setenv("REDIS_URL", "http://x")
    with pytest.raises(NoRedisUrl):
        kind()


def test_both_clients_have_the_same_verbs_with_the_same_arguments() -> None:
    """What is added to one is added to the other."""

    def verbs(kind: type) -> dict[str, list[tuple[str, object]]]:
        return {
            name: [(one.name, one.default) for one in inspect.signature(verb).parameters.values()]
            for name, verb in vars(kind).items()
            if inspect.isfunction(verb) and not name.startswith("__")
        }

    assert verbs(JobClient) == verbs(AsyncJobClient)
    assert inspect.signature(JobClient.wait).parameters["appear_s"].default == shared.APPEAR_S == 10.0


@pytest.mark.parametrize(("pause", "over"), [(1.0, False), (1.5, True)])
def test_the_last_look_may_fall_on_the_last_moment(pause: float, *, over: bool) -> None:
    """Of either bound; patience ends only with what lies beyond it."""
    for state, timeout_s, error in ((State.QUEUED, 10.0, WaitTimeout), (State.UNKNOWN, None, UnknownJob)):
        patience = shared.Patience("j1", timeout_s, 10.0, 100.0)
        if over:
            with pytest.raises(error):
                patience.judge(state, now=109.0, pause=pause)
        else:
            patience.judge(state, now=109.0, pause=pause)
