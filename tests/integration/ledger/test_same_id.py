"""Another application sends a second, other message under the id of a job that is there: that job is left alone.

Celery's `retry` keeps the id, and `task_id=` is often made of an order's number. Whatever becomes of the second,
the first is sent as it was, once; and the second is kept for a person.
"""

import json
from collections.abc import Callable

import pytest
import redis

from integration.ledger.desk import TTL_S, Desk, change, deal
from oppsync.receipts import job_id
from oppsync_worker.contract.errors import InvalidJob, JobConflict, NotAJob
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import claims, ends, keys, operating
from oppsync_worker.ledger.begin import Go
from oppsync_worker.ledger.enqueuing import enqueue, receipts
from stage import claiming, told

LANES = ["opportunities.interactive", "opportunities.bulk"]


class SameId(Desk):
    """Claims by their messages, whatever is in them."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.taken: dict[str, claims.Claimed] = {}
        self.sent: list[str | None] = []
        self.turns_up: list[bytes] = []

    def take(self) -> None:
        """Whatever workers get."""
        for _ in range(3):
            found, _ = claims.claimed(self.run(claiming(LANES, most=100)))
            self.taken |= {title_of(one.message): one for one in found}

    def hand(self, title: str, job_id: str) -> ends.Hand:
        """The claim of a message."""
        return ends.Hand(self.taken[title].tag, job_id, TTL_S)

    def deliver_all(self) -> None:
        """Workers that live: each message is read, then sent or buried."""
        for _ in range(6):
            self.pass_time()
            self.take()
            for one in self.taken.values():
                self.deliver(one)
            self.taken.clear()

    def deliver(self, one: claims.Claimed) -> None:
        """As a worker does with a message."""
        try:
            job = read_message(one.message)
        except (InvalidJob, NotAJob):
            bury(self, one)
            return
        hand = ends.Hand(one.tag, job.job_id, TTL_S)
        if isinstance(self.begin(hand, job), Go):
            self.sent.append(job.title)
            self.succeed(hand, job)


def title_of(message: bytes) -> str:
    """What tells the two messages apart."""
    return str(json.loads(json.loads(message)["body"])[1]["title"])


def bury(desk: Desk, one: claims.Claimed, *, instance: str = "acme") -> None:
    """As a worker does with what breaks the contract."""
    headers = json.loads(one.message)["headers"]
    hand = ends.Hand(one.tag, headers["id"], TTL_S)
    desk.run(ends.bury(hand, cause=Cause.INVALID, detail="words", kind=headers["task"], instance=instance))


def foreign(job: AnyJob, **given: object) -> bytes:
    """As Celery writes it."""
    message = json.loads(encode(job))
    message["headers"]["origin"] = "gen1@elsewhere"
    body = json.loads(message["body"])
    body[1] |= given
    return json.dumps({**message, "body": json.dumps(body)}).encode()


def letters(ledger: redis.Redis) -> list[bytes | None]:
    """The messages of the dead letters."""
    return [ledger.hget(keys.job(one.decode()), "message") for one in ledger.zrange(keys.DEAD, 0, -1)]


# Where the first one is when the second comes.


def waiting(desk: SameId, _first: AnyJob) -> None:
    """In its instance's line."""
    desk.run(told("acme", concurrency=1))


def held(desk: SameId, _first: AnyJob) -> None:
    """With its instance."""
    desk.run(operating.hold("acme", cause="operator", note=""))


def with_a_slot(_desk: SameId, _first: AnyJob) -> None:
    """In the lane."""


def claimed(desk: SameId, _first: AnyJob) -> None:
    """By another worker, which has not begun it."""
    desk.take()


def being_sent(desk: SameId, first: AnyJob) -> None:
    """By another worker."""
    desk.take()
    assert isinstance(desk.begin(desk.hand("first", first.job_id), first), Go)
    desk.sent.append("first")


def succeeded(desk: SameId, _first: AnyJob) -> None:
    """Long ago."""
    desk.deliver_all()


def lost(desk: SameId, first: AnyJob) -> None:
    """Given up by the sweep, since its message was nowhere; it turns up later."""
    (message,) = [message for lane in LANES for message in desk.client.lrange(lane, 0, -1)]
    for lane in LANES:
        desk.client.delete(lane)
    desk.client.hset(keys.job(first.job_id), mapping={"state": "dead", "cause": "lost", "message": ""})
    desk.client.hdel(keys.job(first.job_id), "slot_at")
    desk.client.zadd(keys.DEAD, {first.job_id: 1})
    desk.turns_up = [message]


# What becomes of the second one's claim.


def read(desk: SameId, _first: AnyJob) -> None:
    """A worker reads it."""
    if "second" in desk.taken:
        desk.deliver(desk.taken.pop("second"))


def handed_back(desk: SameId, _first: AnyJob) -> None:
    """The worker stops."""
    if "second" in desk.taken:
        desk.run(claims.release(desk.taken.pop("second").tag))


def dies(desk: SameId, _first: AnyJob) -> None:
    """The worker."""
    if "second" in desk.taken:
        desk.client.zadd(keys.LEASES, {desk.taken.pop("second").tag: 1})
        desk.run(claims.restore(most=100, crashes=3, ttl_s=TTL_S))


PLACES: list[Callable[[SameId, AnyJob], None]] = [waiting, held, with_a_slot, claimed, being_sent, succeeded, lost]
ENDS: list[Callable[[SameId, AnyJob], None]] = [read, handed_back, dies]


def comes_first(
    desk: SameId, first: AnyJob, make: Callable[..., AnyJob], place: Callable[[SameId, AnyJob], None], *, own: bool
) -> None:
    """The first message, and it gets to its place."""
    if place is waiting:
        desk.enqueue(make(title="other", lane="bulk"))
    if place in (waiting, held):
        place(desk, first)
    if own:
        desk.enqueue(first)
    else:
        desk.client.lpush(first.lane.queue, foreign(first))
        desk.run(claiming(LANES, most=0))
    if place not in (waiting, held):
        place(desk, first)


@pytest.mark.parametrize("own", [False, True], ids=["foreign", "own"])
@pytest.mark.parametrize("make", [deal, lambda **given: change(5, **given)], ids=["create", "update"])
@pytest.mark.parametrize("odd", [False, True], ids=["good", "bad"])
@pytest.mark.parametrize("end", ENDS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("place", PLACES, ids=lambda one: one.__name__)
def test_the_first_is_sent_and_the_second_is_kept(
    ledger: redis.Redis,
    place: Callable[[SameId, AnyJob], None],
    end: Callable[[SameId, AnyJob], None],
    make: Callable[..., AnyJob],
    *,
    odd: bool,
    own: bool,
) -> None:
    """Wherever the first is, and whatever becomes of the second's worker."""
    desk, first = SameId(ledger), make(title="first", lane="bulk")
    comes_first(desk, first, make, place, own=own)
    second = foreign(first, title="second", **({"value": "much"} if odd else {}))
    ledger.lpush(first.lane.queue, second)

    desk.take()
    desk.taken.pop("other", None)
    end(desk, first)

    desk.run(operating.unhold("acme"))
    desk.run(told("acme", concurrency=100))
    if place is being_sent:
        desk.succeed(desk.hand("first", first.job_id), first)
        desk.taken.clear()
    for message in desk.turns_up:
        ledger.lpush(first.lane.queue, message)
    for one in list(desk.taken.values()):
        desk.deliver(one)
    desk.taken.clear()
    for _ in range(3):
        if place is waiting:
            desk.silence()
        desk.deliver_all()

    assert desk.sent.count("first") == 1
    assert "second" not in desk.sent
    assert desk.state(first) == "succeeded"
    assert letters(ledger) == [second]


@pytest.mark.parametrize("end", ENDS, ids=lambda one: one.__name__)
def test_of_two_messages_that_cannot_be_sent_none_is_dropped(
    ledger: redis.Redis, end: Callable[[SameId, AnyJob], None]
) -> None:
    """The first could not even be read; the second, put right, is kept for a person."""
    desk, job = SameId(ledger), deal(title="second", lane="bulk")
    first, second = foreign(job, title="first", instance=5), foreign(job)
    ledger.lpush(job.lane.queue, first)
    desk.take()
    bury(desk, desk.taken.pop("first"), instance="")
    ledger.lpush(job.lane.queue, second)
    desk.take()

    end(desk, job)
    desk.deliver_all()

    assert desk.sent == []
    assert letters(ledger) == [first, second]


@pytest.mark.parametrize("end", ENDS, ids=lambda one: one.__name__)
def test_behind_one_that_takes_workers_down_nothing_is_dropped(
    ledger: redis.Redis, end: Callable[[SameId, AnyJob], None]
) -> None:
    """It waits, unread, for its next try."""
    desk, job = SameId(ledger), deal(title="second", lane="bulk")
    first = foreign(job, title="first", instance=5)
    ledger.lpush(job.lane.queue, first)
    for _ in range(2):
        desk.take()
        desk.silence()
    desk.taken.clear()
    assert desk.state(job) == "scheduled"
    ledger.lpush(job.lane.queue, foreign(job))
    desk.take()

    end(desk, job)
    desk.deliver_all()

    assert sorted(map(str, letters(ledger))) == sorted(map(str, [first, foreign(job)]))


def test_a_message_that_was_buried_and_comes_again_is_a_copy(ledger: redis.Redis) -> None:
    """Byte for byte the same call: one letter is enough."""
    desk, job = SameId(ledger), deal(title="first", lane="bulk")
    for _ in range(2):
        ledger.lpush(job.lane.queue, foreign(job, value="much"))
        desk.deliver_all()

    assert letters(ledger) == [foreign(job, value="much")]


@pytest.mark.parametrize("state", ["dead", "its worker died"])
def test_an_id_of_which_nobody_knows_what_it_asks_for_is_taken(ledger: redis.Redis, state: str) -> None:
    """Nobody is told that a job is in hand because another application's message bears its id."""
    desk, job = SameId(ledger), deal(title="second")
    ledger.lpush(job.lane.queue, foreign(job, instance=5))
    desk.take()
    if state == "dead":
        bury(desk, desk.taken.pop("second"), instance="")
    else:
        dies(desk, job)

    with pytest.raises(JobConflict, match="a message that nobody could read"):
        job_id(receipts([job], [desk.run(enqueue(job))])[0])


def test_a_mended_letter_is_not_buried_by_the_message_that_it_was(ledger: redis.Redis) -> None:
    """Which its sender sends again meanwhile."""
    desk, job = SameId(ledger), deal(title="first", lane="bulk")
    bad = foreign(job, title="bad", value="much")
    ledger.lpush(job.lane.queue, bad)
    desk.deliver_all()
    assert desk.replay(job, message=encode(job)) == "dead"
    ledger.lpush(job.lane.queue, bad)

    desk.deliver_all()

    assert desk.sent == ["first"]
    assert letters(ledger) == [bad]


def test_the_key_of_a_job_that_is_forgotten_is_free(ledger: redis.Redis) -> None:
    """Nobody is discarded as the twin of a job that is not there."""
    desk, job = SameId(ledger), deal(title="first", lane="bulk", idempotency_key="k")
    ledger.set(f"{keys.PREFIX}idem:acme:k", "gone")
    ledger.lpush(job.lane.queue, foreign(job))

    desk.deliver_all()

    assert desk.sent == ["first"]


@pytest.mark.parametrize("title", ["first", "another"], ids=["twin", "conflict"])
def test_a_create_that_is_refused_its_key_takes_no_reference_over(ledger: redis.Redis, title: str) -> None:
    """Updates hurry the create that will make their record."""
    desk = SameId(ledger)
    names = {"lane": "bulk", "external_ref": "r", "idempotency_key": "k"}
    first, second = deal(title="first", **names), deal(title=title, **names)
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.enqueue(first)
    ledger.lpush("opportunities.bulk", foreign(second))
    desk.deliver_all()
    assert desk.state(second) in ("discarded", "dead")

    desk.enqueue(change("r", lane="interactive"))

    assert ledger.hget(f"{keys.PREFIX}making:acme", "r") == first.job_id.encode()
    assert desk.field(first, "lane") == "interactive"
