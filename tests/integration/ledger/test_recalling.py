"""A ledger that has forgotten its last writes meets a worker that has the truth in hand."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal
from integration.ledger.forgetting import Memory
from oppsync import CreateOpportunity, State
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from oppsync_worker.ledger.book import Book, Settled
from oppsync_worker.ledger.recalling import Sent
from oppsync_worker.ledger.scripts import Call
from stage import time_passes, told


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """A ledger with everybody who uses it."""
    return Desk(ledger)


@pytest.fixture
async def book(redis_url: str) -> Any:
    """A worker's ledger."""
    book = Book(redis_url, patience_s=5)
    yield book
    await book.close()


def made(hand: ends.Hand, job: AnyJob, record: int = 77) -> Call:
    """SprintHub has it."""
    creates = isinstance(job, CreateOpportunity)
    marker = ends.Marker(7, lands=None) if creates else None
    effects = ends.Effects(answers=True, wrote=() if creates else job.written())
    return ends.succeed(hand, opportunity_id=record, result={"id": record}, effects=effects, marker=marker)


async def tell(book: Book, call: Call, job: AnyJob) -> Settled:
    """As a worker does whose request has left."""
    return await book.settle_sent(call, Sent(job, lease_ms=60_000, marker_field="oppsync"), sent_at=0.0)


def queued(_: Desk) -> None:
    """Only the enqueueing is remembered, and the lane still has the message."""


def claimed_by_another(desk: Desk) -> None:
    """Somebody else has it in hand, and has not begun."""
    desk.claim(worker="another")


def waiting(desk: Desk) -> None:
    """Somebody else was told to wait."""
    # Its slot is void since a throttle, and the next one is far.
    later = int((desk.now_s() + 30) * 1000)
    desk.client.hset(keys.budget("acme"), mapping={"cool_until": later, "next": later})
    assert desk.begin(*desk.one()) == Parked(State.WAITING, "waiting")


def held(desk: Desk) -> None:
    """Its instance is on hold by now."""
    desk.run(operating.hold("acme", cause="operator", note=""))
    assert desk.begin(*desk.one()) == Parked(State.HELD, "held")


def scheduled(desk: Desk) -> None:
    """Somebody else began it, and could not connect."""
    hand, _, _ = desk.send_next()
    desk.run(ends.reschedule(hand, delay_ms=60_000, attempt=ATTEMPT))


def sent_by_another(desk: Desk) -> None:
    """It is under way once more."""
    desk.send_next()


def in_doubt(desk: Desk) -> None:
    """It was under way once more, and that answer was lost."""
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))


def refused(desk: Desk) -> None:
    """Sent once more, it was refused."""
    hand, _, _ = desk.send_next()
    desk.bury(hand)


def expired(desk: Desk) -> None:
    """Its deadline has passed by now, or so the clock of the replica says."""
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.begin(*desk.one())
    desk.client.hset(keys.job("one"), "deadline", "1")
    desk.client.zadd(f"{keys.PREFIX}expiring", {"one": 1})
    desk.run(time_passes())
    assert desk.client.hget(keys.job("one"), "state") == b"expired"


def unknown(desk: Desk) -> None:
    """Even the enqueueing is forgotten."""
    desk.client.flushall()
    desk.run(told("acme"))


EVERYWHERE = [
    queued,
    claimed_by_another,
    waiting,
    held,
    scheduled,
    sent_by_another,
    in_doubt,
    refused,
    expired,
    unknown,
]


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("remembers_claim", [True, False])
async def test_a_known_success_is_recorded_wherever_the_ledger_believes_the_job_to_be(
    desk: Desk,
    book: Book,
    where: Callable[[Desk], None],
    remembers_claim: bool,  # noqa: FBT001 - drawn
) -> None:
    """And what lies in a lane still is not sent again."""
    job = deal(job_id="one", idempotency_key="k", external_ref="r")
    memory = Memory(desk.client)
    desk.enqueue(job)
    if not remembers_claim or where is not queued:
        memory.take()
    hand, _ = desk.one()
    if remembers_claim and where is queued:
        memory.take()
    assert isinstance(desk.begin(hand, job), Go)
    memory.restore()
    where(desk)

    settled = await tell(book, made(hand, job), job)

    assert settled == Settled(State.SUCCEEDED, recalled=True)
    assert (desk.state(job), desk.field(job, "opportunity_id")) == ("succeeded", "77")
    assert desk.client.hget(keys.references("acme"), "r") == b"77"
    assert b'"SUCCESS"' in (desk.client.get("celery-task-meta-one") or b"")
    desk.run(operating.unhold("acme"))
    assert desk.work_off() == []
    assert desk.client.get("oppsync:idem:acme:k") == b"one"
    assert 0 < desk.client.ttl(keys.job("one")) <= TTL_S
    assert desk.client.zcard(keys.DEAD) == desk.client.zcard(keys.IN_DOUBT) == 0


async def test_a_second_success_of_one_create_is_told_loudly(desk: Desk, book: Book) -> None:
    """Which attempt's record stays is a person's decision: they find both."""
    job = deal(job_id="one")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    first, _, _ = desk.send_next()
    memory.restore()
    second, _, _ = desk.send_next()

    assert await tell(book, made(first, job, 77), job) == Settled(State.SUCCEEDED, recalled=True)
    for _ in range(2):
        assert await tell(book, made(second, job, 78), job) == Settled(None, surplus=True, other=77)

    assert desk.field(job, "opportunity_id") == "77"
    assert desk.field(job, "surplus") == "78"
    assert desk.client.zrange(keys.SURPLUS, 0, -1) == [b"one"]
    events = b"".join(desk.client.lrange(keys.attempts("one"), 0, -1))
    assert events.count(b'"surplus"') == 1
    assert desk.client.zcard(keys.LEASES) == 0


async def test_a_success_told_twice_is_one(desk: Desk, book: Book) -> None:
    """The answer to the first time was lost."""
    job = deal(job_id="one")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    hand, _, _ = desk.send_next()
    memory.restore()

    assert (await tell(book, made(hand, job), job)).state == State.SUCCEEDED
    assert await tell(book, made(hand, job), job) == Settled(State.SUCCEEDED)
    assert desk.client.zcard(keys.SURPLUS) == 0


@pytest.mark.parametrize("where", EVERYWHERE)
async def test_a_create_whose_answer_was_lost_is_in_doubt_although_its_sending_was_forgotten(
    desk: Desk, book: Book, where: Callable[[Desk], None]
) -> None:
    """It is looked for, and never sent blindly."""
    job = deal(job_id="one", external_ref="r")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    hand, _, _ = desk.send_next()
    memory.restore()
    where(desk)

    settled = await tell(book, ends.doubt(hand, attempt=ATTEMPT), job)

    assert settled.state == State.IN_DOUBT
    assert desk.state(job) == "in_doubt"
    assert desk.client.zscore(keys.PROBES, "one")
    desk.run(operating.unhold("acme"))
    assert desk.work_off() == []
    assert desk.field(job, "message")
    assert desk.client.ttl(keys.job("one")) == -1


async def test_a_doubt_about_one_attempt_outlives_the_failure_of_another(desk: Desk, book: Book) -> None:
    """The other's success ends it; that it was refused does not."""
    job = deal(job_id="one")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    first, _, _ = desk.send_next()
    memory.restore()
    second, _, _ = desk.send_next()
    await tell(book, ends.doubt(first, attempt=ATTEMPT), job)

    refused_too = ends.bury(second, cause=Cause.REJECTED, detail="words", attempt=ATTEMPT)
    assert (await tell(book, refused_too, job)).state is None
    assert desk.state(job) == "in_doubt"

    assert (await tell(book, made(second, job), job)).state == State.SUCCEEDED
    assert desk.client.zcard(keys.LEASES) == 0


async def test_a_lost_answer_after_a_success_is_told(desk: Desk, book: Book) -> None:
    """It may have made a second record."""
    job = deal(job_id="one")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    first, _, _ = desk.send_next()
    memory.restore()
    second, _, _ = desk.send_next()
    desk.run(made(second, job))

    assert await tell(book, ends.doubt(first, attempt=ATTEMPT), job) == Settled(None, surplus=True, other=77)
    assert desk.field(job, "surplus") == "unknown"


@pytest.mark.parametrize("where", [queued, claimed_by_another, waiting, held, scheduled, refused, unknown])
async def test_an_updates_success_is_recorded_too(desk: Desk, book: Book, where: Callable[[Desk], None]) -> None:
    """And the next of its record goes on."""
    job, after = change(5, job_id="one", title="first"), change(5, job_id="two", title="second")
    memory = Memory(desk.client)
    desk.enqueue(job)
    memory.take()
    hand, _, _ = desk.send_next()
    memory.restore()
    where(desk)

    assert (await tell(book, made(hand, job, 5), job)).state == State.SUCCEEDED

    desk.run(operating.unhold("acme"))
    desk.run(told("acme"))
    desk.client.hdel(keys.budget("acme"), "cool_until", "next")
    desk.enqueue(after)
    assert desk.work_off() == [after]


async def test_an_update_that_is_under_way_again_keeps_its_successor_waiting(desk: Desk, book: Book) -> None:
    """However the first attempt of it ended: the second may land after whatever is sent now."""
    job, after = change(5, job_id="one", title="first"), change(5, job_id="two", title="second")
    memory = Memory(desk.client)
    desk.enqueue(job, after)
    memory.take()
    first, _, _ = desk.send_next()
    memory.restore()
    second, _, _ = desk.send_next()

    await tell(book, made(first, job, 5), job)

    assert desk.work_off() == []
    assert (await tell(book, made(second, job, 5), job)).state == State.SUCCEEDED
    assert desk.work_off() == [after]


async def test_what_an_update_may_have_written_is_remembered_although_its_sending_was_forgotten(
    desk: Desk, book: Book
) -> None:
    """It is sent again; and until the first attempt cannot land any more, no other update of the record is."""
    job, after = change(5, job_id="one", title="first"), change(5, job_id="two", title="second")
    memory = Memory(desk.client)
    desk.enqueue(job, after)
    memory.take()
    hand, _, _ = desk.send_next()
    memory.restore()

    lost = ends.Effects(wrote=job.written(), unsure=True)
    assert (await tell(book, ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT, effects=lost), job)).state is None

    assert desk.work_off() == [job]
    assert desk.state(after) == "scheduled"
    desk.settle_down()
    desk.pass_time()
    assert desk.work_off() == [after]


async def test_a_job_that_was_forgotten_whole_is_not_lost(desk: Desk, book: Book) -> None:
    """Its producer was told that it is there; the worker knows all of it."""
    job = change(5, job_id="one", title="first", idempotency_key="k", deadline="2100-01-01T00:00:00Z")
    memory = Memory(desk.client)
    memory.take()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    memory.restore()

    lost = ends.Effects(wrote=job.written(), unsure=True)
    state = await tell(book, ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT, effects=lost), job)

    assert state == Settled(State.SCHEDULED, recalled=True)
    assert desk.client.get("oppsync:idem:acme:k") == b"one"
    assert desk.field(job, "deadline") == "4102444800000"
    assert desk.work_off() == [job]


async def test_what_came_by_right_after_a_remembered_attempt_stands(desk: Desk, book: Book) -> None:
    """Nothing was forgotten: a stale claim's failure changes nothing, as ever."""
    job = deal(job_id="one")
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.silence()
    desk.run(operating.resend("one", by="me"))

    assert await tell(book, ends.doubt(hand, attempt=ATTEMPT), job) == Settled(None)
    assert desk.work_off() == [job]


async def test_a_success_after_a_person_had_it_sent_again_wins(desk: Desk, book: Book) -> None:
    """It is not sent once more, if it has not been yet."""
    job = deal(job_id="one")
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.silence()
    desk.run(operating.resend("one", by="me"))

    assert (await tell(book, made(hand, job), job)).state == State.SUCCEEDED
    assert desk.work_off() == []


async def test_a_success_of_a_job_that_a_person_has_dropped_is_told(desk: Desk, book: Book) -> None:
    """There is a record after all."""
    job = deal(job_id="one")
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.silence()
    desk.run(operating.discard("one", state=State.IN_DOUBT, by="me", ttl_s=60))

    assert await tell(book, made(hand, job), job) == Settled(None, surplus=True)
    assert desk.field(job, "surplus") == "77"


async def test_no_two_claims_ever_bear_one_tag(desk: Desk, book: Book) -> None:
    """The count goes back with everything else; an old owner's end must not meet a new owner's claim."""
    old, new = deal(job_id="old"), deal(job_id="new")
    memory = Memory(desk.client)
    memory.take()
    desk.enqueue(old)
    first, _, _ = desk.send_next()
    memory.restore()
    desk.enqueue(new)
    second, _, _ = desk.send_next()

    assert first.tag != second.tag
    await tell(book, made(first, old), old)
    assert desk.state(new) == "sending"
    assert desk.client.exists(f"{keys.PREFIX}claim:{second.tag}")


async def test_a_tag_of_the_version_before_that_was_given_twice_harms_nobody(desk: Desk, book: Book) -> None:
    """Its claims were bare numbers."""
    old, new = deal(job_id="old"), deal(job_id="new")
    desk.enqueue(new)
    (hand, _) = desk.one()
    stale = ends.Hand(hand.tag, "old", TTL_S)
    desk.enqueue(old)

    assert desk.begin(stale, old) == Parked(State.UNKNOWN, "lost")
    await tell(book, made(stale, old), old)
    assert isinstance(desk.begin(hand, new), Go)


def test_an_unreadable_outcome_time_aborts_nothing(desk: Desk) -> None:
    """A worker of the version before may be set to keep outcomes for less than a second."""
    job = deal(job_id="one")
    desk.enqueue(job)
    hand, _, _ = desk.send_next()

    assert desk.run(made(ends.Hand(hand.tag, "one", 0), job)) == b"succeeded"
    assert desk.client.ttl(keys.job("one")) == 1


@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_a_foreign_job_of_which_only_the_claim_is_remembered_stays_a_foreign_one(
    desk: Desk, book: Book, lost: str
) -> None:
    """Or its own message would be taken for somebody else's when it is tried again, and put aside."""
    job = deal(lane="bulk")
    desk.push(job)
    hand, _, _ = desk.send_next()
    desk.client.delete(keys.job(job.job_id))
    if lost == "answer":
        await tell(book, ends.doubt(hand, attempt=ATTEMPT), job)
        assert desk.run(operating.resend(job.job_id, by="me")) == b"in_doubt"
    else:
        await tell(book, ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT), job)
    assert desk.state(job) == "scheduled"

    desk.pass_time()
    _, again, _ = desk.send_next()

    assert again.job_id == job.job_id
    assert desk.state(job) == "sending"
    assert not desk.client.zcard(keys.DEAD)
