"""A ledger that has forgotten its last writes meets a worker that has the truth in hand."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis

from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal
from integration.ledger.forgetting import Memory
from oppsync import CreateOpportunity, State, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.ledger import claims, ends, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from oppsync_worker.ledger.book import Book, Settled
from oppsync_worker.ledger.recalling import Sent, recall
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


def enqueued_again(_: Desk) -> None:
    """It has a slot, and nobody has it in hand."""


def claimed_again(desk: Desk) -> None:
    """A worker has it in hand, and has not begun."""
    desk.claim(worker="another")


def refused_again(desk: Desk) -> None:
    """It was sent, and refused."""
    desk.bury(desk.send_next()[0])


def sent_again(desk: Desk) -> None:
    """It is under way."""
    desk.send_next()


def lost_again(desk: Desk) -> None:
    """It was sent, and its answer was lost."""
    desk.run(ends.doubt(desk.send_next()[0], attempt=ATTEMPT))


def made_again(desk: Desk) -> None:
    """It has succeeded."""
    hand, job, _ = desk.send_next()
    desk.run(made(hand, job, 78))


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize(
    ("again", "too_many"),
    [
        (enqueued_again, ""),
        (claimed_again, ""),
        (refused_again, ""),
        (sent_again, "unknown"),
        (lost_again, "unknown"),
        (made_again, "78"),
    ],
)
async def test_a_repetition_under_a_forgotten_key_is_a_twin_or_told(
    desk: Desk,
    book: Book,
    again: Callable[[Desk], None],
    too_many: str,
    lost: bool,  # noqa: FBT001 - drawn
) -> None:
    """Its producer repeated it while the first was under way: there is no second record that nobody knows of."""
    job, repeated = (deal(job_id=name, idempotency_key="k", external_ref="r") for name in ("one", "two"))
    memory = Memory(desk.client)
    memory.take()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    memory.restore()
    desk.enqueue(repeated)
    again(desk)

    settled = await tell(book, ends.doubt(hand, attempt=ATTEMPT) if lost else made(hand, job), job)

    assert settled.recalled
    assert settled.surplus is bool(too_many)
    assert desk.field(job, "surplus") == too_many
    assert desk.client.zrange(keys.SURPLUS, 0, -1) == ([b"one"] if too_many else [])
    if again is not made_again:
        assert desk.client.get("oppsync:idem:acme:k") == b"one"
    # Whatever a person says of the second, it is not sent again.
    desk.silence()
    for place, call in ((keys.IN_DOUBT, operating.resend), (keys.DEAD, operating.replay)):
        if b"two" in desk.client.zrange(place, 0, -1):
            desk.run(call("two", by="me"))
    assert desk.work_off() == []
    if again is not made_again:
        assert (desk.state(repeated), desk.field(repeated, "points_to")) == ("discarded", "one")
        # And updates of the record still know whom they wait for.
        assert desk.client.hget(f"{keys.PREFIX}making:acme", "r") == (b"one" if lost else None)
    desk.enqueue(deal(job_id="three", idempotency_key="k", external_ref="r"))
    assert desk.client.exists(keys.job("three")) == 0


async def test_a_first_job_that_was_not_sent_is_the_twin_of_one_that_succeeded_meanwhile(
    desk: Desk, book: Book
) -> None:
    """Tried again it would make a second record."""
    job, repeated = deal(job_id="one", idempotency_key="k"), deal(job_id="two", idempotency_key="k")
    memory = Memory(desk.client)
    memory.take()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    memory.restore()
    desk.enqueue(repeated)
    made_again(desk)

    await tell(book, ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT), job)

    assert desk.work_off() == []
    assert (desk.state(job), desk.field(job, "points_to")) == ("discarded", "two")


def forgotten_update(desk: Desk, name: str) -> tuple[ends.Hand, UpdateOpportunity]:
    """An update that was sent, and of which the ledger knows nothing at all."""
    job = change(5, job_id=name, title="old")
    memory = Memory(desk.client)
    memory.take()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    memory.restore()
    return hand, job


def lost(hand: ends.Hand, job: AnyJob) -> Call:
    """No answer came."""
    effects = ends.Effects(wrote=job.written(), unsure=True)
    return ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT, effects=effects)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
async def test_an_update_that_was_forgotten_does_not_overtake_one_that_is_under_way(
    desk: Desk, book: Book, names: tuple[str, str]
) -> None:
    """Nor is it sent after it, over what that one has written: it was enqueued first."""
    first, job = forgotten_update(desk, names[0])
    after = change(5, job_id=names[1], title="new")
    desk.enqueue(after)
    second, _, _ = desk.send_next()

    await tell(book, lost(first, job), job)

    desk.settle_down()
    assert desk.work_off() == []
    assert desk.state(job) == "blocked"
    assert (await tell(book, made(second, after, 5), after)).state == State.SUCCEEDED
    desk.settle_down()
    assert desk.work_off() == []
    assert (desk.state(job), desk.field(job, "cause")) == ("discarded", "superseded")
    assert [*desk.client.scan_iter("oppsync:letters:*"), *desk.client.scan_iter("oppsync:newer:*")] == []


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
async def test_an_update_that_was_forgotten_goes_before_one_that_came_later(
    desk: Desk, book: Book, names: tuple[str, str]
) -> None:
    """What nobody has sent yet can keep its order."""
    first, job = forgotten_update(desk, names[0])
    after = change(5, job_id=names[1], title="new")
    desk.enqueue(after)
    desk.claim()

    await tell(book, lost(first, job), job)

    desk.silence()
    desk.settle_down()
    desk.pass_time()
    assert desk.work_off() == [job, after]
    assert [*desk.client.scan_iter("oppsync:letters:*"), *desk.client.scan_iter("oppsync:newer:*")] == []


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("first_to_be_missed", [0, 1])
async def test_of_two_sent_updates_whose_workers_died_the_later_one_has_the_last_word(
    desk: Desk, names: tuple[str, str], first_to_be_missed: int
) -> None:
    """The worker of the first died between telling the ledger what it forgot and settling it."""
    first, job = forgotten_update(desk, names[0])
    after = change(5, job_id=names[1], title="new")
    desk.enqueue(after)
    second, _, _ = desk.send_next()
    desk.run(recall(lost(first, job), Sent(job, lease_ms=60_000), sent_ms_ago=1_000))
    assert desk.states([job, after]) == ["sending", "sending"]

    for hand in [(first, second), (second, first)][first_to_be_missed]:
        desk.client.zadd(keys.LEASES, {hand.tag: 1})
        desk.run(claims.restore(most=1, crashes=3, ttl_s=TTL_S))
    for _ in range(3):
        desk.settle_down()
        desk.pass_time()
    assert desk.work_off() == [after]
    assert (desk.state(job), desk.field(job, "cause")) == ("discarded", "superseded")


@pytest.mark.parametrize("remembered", ["nothing", "pushed", "claimed"])
@pytest.mark.parametrize("shape", ["plain", "for a worker to read"])
@pytest.mark.parametrize("creates", [True, False])
async def test_another_applications_job_that_goes_again_is_known_as_its_own(
    desk: Desk,
    book: Book,
    remembered: str,
    shape: str,
    creates: bool,  # noqa: FBT001 - drawn
) -> None:
    """Or its own message, when its turn comes, would be taken for somebody else's under its id."""
    job: AnyJob = deal(job_id="one") if creates else change(5, job_id="one")
    memory = Memory(desk.client)
    if remembered == "nothing":
        memory.take()
    desk.push(job)
    if shape != "plain":
        message = json.loads(desk.client.lpop("opportunities.interactive") or "")
        message["headers"]["compression"] = "application/x-gzip"
        message["properties"]["body_encoding"] = "base64"
        body = message["body"] if isinstance(message["body"], str) else json.dumps(message["body"])
        message["body"] = base64.b64encode(zlib.compress(body.encode())).decode()
        desk.client.lpush("opportunities.interactive", json.dumps(message))
    if remembered == "pushed":
        memory.take()
    ((hand, _),) = desk.claim()
    if remembered == "claimed":
        memory.take()
    assert isinstance(desk.begin(hand, job), Go)
    memory.restore()

    sent = Sent(job, lease_ms=60_000, own=False)
    await book.settle_sent(ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT), sent, sent_at=0.0)

    assert desk.work_off() == [job]
    assert desk.state(job) == "succeeded"
    assert list(desk.client.scan_iter("oppsync:job:raw-*")) == []


async def test_an_update_that_left_its_line_takes_a_place_in_it_again(desk: Desk, book: Book) -> None:
    """It was refused by then, another is under way, and its worker dies between telling and settling."""
    first, job = forgotten_update(desk, "one")
    desk.enqueue(job)
    desk.bury(desk.send_next()[0])
    after = change(5, job_id="two", title="new")
    desk.enqueue(after)
    second, _, _ = desk.send_next()
    desk.run(recall(made(first, job, 5), Sent(job, lease_ms=60_000), sent_ms_ago=1_000))

    desk.client.zadd(keys.LEASES, {first.tag: 1})
    desk.run(claims.restore(most=1, crashes=3, ttl_s=TTL_S))

    assert desk.state(job) == "blocked"
    await tell(book, made(second, after, 5), after)
    desk.settle_down()
    desk.pass_time()
    assert desk.work_off() == []
    assert (desk.state(job), desk.field(job, "cause")) == ("discarded", "superseded")


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
