"""Redis forgets its scripts (a restart, `SCRIPT FLUSH`, a new version's first call) while producers hand jobs over."""

from collections.abc import Callable, Iterable

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration.ledger.desk import Desk, change, deal, titles
from integration.ledger.meddled import meddled, meddled_async
from oppsync import AsyncJobClient, JobClient
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import enqueuing, keys
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.begin import begin
from oppsync_worker.ledger.chains import run_in_order
from oppsync_worker.ledger.scripts import Call, run_many_async

LANE = "opportunities.interactive"


def in_line(ledger: redis.Redis, record: str) -> list[str | None]:
    """Titles of a record's updates, in the order in which they are to take effect."""
    by_id = {job.job_id: job for job in map(read_message, ledger.lrange(LANE, 0, -1))}
    ids = [one.decode() for one in ledger.zrange(keys.record("acme", f"id:{record}"), 0, -1)]
    return titles(by_id.get(one) or read_message(ledger.hget(keys.job(one), "message") or b"") for one in ids)


def came_in_order(ledger: redis.Redis, jobs: Iterable[AnyJob]) -> bool:
    """Whether none is recorded as older than one before it: by that they stand in every line."""
    ages = [int(ledger.hget(keys.job(job.job_id), "at") or 0) for job in jobs]
    return ages == sorted(ages)


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


@pytest.fixture
def teach(ledger: redis.Redis) -> Callable[[], None]:
    """Another producer has just used the script."""

    def load_it() -> None:
        ledger.script_load(load("enqueue").text)

    return load_it


@pytest.mark.parametrize("learned_before", [0, 1, 2, 3, 7])
def test_a_batch_keeps_its_order_although_another_producer_teaches_the_script(
    desk: Desk, redis_url: str, teach: Callable[[], None], learned_before: int
) -> None:
    """The first calls are missed, the later ones are not."""
    jobs = [change(5, title=f"{number}") for number in range(200)]

    with meddled(redis_url, lambda place: teach() if place == learned_before else None) as client:
        assert client.enqueue_many(jobs) == [job.job_id for job in jobs]

    assert came_in_order(desk.client, jobs)
    assert in_line(desk.client, "5") == titles(jobs)
    assert desk.work_off() == jobs


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(
    meddling=st.lists(st.sampled_from(["", "flush", "teach", "enqueue"]), min_size=12, max_size=40),
    sizes=st.lists(st.integers(1, 160), min_size=1, max_size=4),
)
def test_whatever_comes_between_the_commands_of_two_producers_each_ones_order_holds(
    ledger: redis.Redis, redis_url: str, teach: Callable[[], None], meddling: list[str], sizes: list[int]
) -> None:
    """Scripts are forgotten and learned between any two commands; another producer's jobs come in between."""
    ledger.flushall()
    ledger.script_flush()
    happenings, theirs = iter(meddling), []

    with JobClient(redis_url) as other:

        def between(_: int) -> None:
            match next(happenings, ""):
                case "flush":
                    ledger.script_flush()
                case "teach":
                    teach()
                case "enqueue":
                    more = [change(5, title=f"their {len(theirs) + number}") for number in range(30)]
                    theirs.extend(more)
                    other.enqueue_many(more)

        with meddled(redis_url, between) as client:
            batches = [[change(5, title=f"{at} {number}") for number in range(size)] for at, size in enumerate(sizes)]
            for batch in batches:
                assert client.enqueue_many(batch) == [job.job_id for job in batch]

    ours = [job for batch in batches for job in batch]
    seen = in_line(ledger, "5")
    assert [title for title in seen if not str(title).startswith("their")] == titles(ours)
    assert [title for title in seen if str(title).startswith("their")] == titles(theirs)
    assert came_in_order(ledger, ours)
    assert came_in_order(ledger, theirs)


async def test_the_asyncio_producer_keeps_its_order_too(redis_url: str, desk: Desk) -> None:
    """A batch into a Redis that knows no script."""
    jobs = [change(5, title=f"{number}") for number in range(200)]
    async with AsyncJobClient(redis_url) as client:
        await client.enqueue_many(jobs)

    assert in_line(desk.client, "5") == titles(jobs)
    assert desk.work_off() == jobs


def test_a_call_whose_predecessor_failed_changes_nothing(ledger: redis.Redis) -> None:
    """And the error is the first one's, whatever the others say."""
    good, bad = enqueuing.enqueue(deal(job_id="good")), Call("enqueue", ("", 0, "only an id"))
    after = enqueuing.enqueue(deal(job_id="after"))

    with pytest.raises(redis.ResponseError, match=r"arithmetic|compare|nil"):
        run_in_order(ledger, [good, bad, after])

    assert ledger.exists("oppsync:job:good")
    assert not ledger.exists("oppsync:job:after")


@pytest.mark.parametrize("learned_before", range(8))
async def test_a_workers_questions_are_answered_in_order(
    desk: Desk, ledger: redis.Redis, redis_url: str, learned_before: int
) -> None:
    """Updates that were mended to go to another record take their place in its line when they are begun."""
    letters = [change(10 + number, title=f"{number}") for number in range(6)]
    for letter in letters:
        desk.enqueue(letter)
        desk.bury(desk.send_next()[0])
    for letter in letters:
        desk.replay(letter, message=encode(letter.model_copy(update={"opportunity_id": 5})))
    taken = desk.claim()
    calls = [begin(hand, job, horizon_ms=250, number=1) for hand, job in taken]
    ledger.script_flush()

    def teach(place: int) -> None:
        if place == learned_before:
            ledger.script_load(load("begin").text)

    client = meddled_async(redis_url, teach)
    await run_many_async(client, calls)
    await client.aclose()

    assert len(taken) == len(letters)
    assert {desk.field(job, "record") for _, job in taken} == {"id:5"}
    numbers = [int(desk.field(job, "number")) for _, job in taken]
    assert numbers == sorted(numbers)
