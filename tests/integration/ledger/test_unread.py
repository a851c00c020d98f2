"""What a message that no worker can read leaves behind, if a version before this one has filed it unread."""

import hashlib
import json
from collections.abc import Callable

import pytest
import redis

from integration.ledger.desk import TTL_S, Desk, change, deal
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, ends, keys
from oppsync_worker.ledger.begin import Go
from stage import claiming, told

BULK = "opportunities.bulk"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def unreadable(job: AnyJob) -> bytes:
    """Another application's message, with an amount that is none."""
    message = json.loads(encode(job))
    message["headers"]["origin"] = "gen1@elsewhere"
    body = json.loads(message["body"])
    body[1]["value"] = "much"
    return json.dumps({**message, "body": json.dumps(body)}).encode()


def filed_before(desk: Desk, job: AnyJob) -> None:
    """Its message stands where the job's would; from this version on a worker reads it first."""
    good = json.loads(encode(job))
    good["headers"]["origin"] = "gen1@elsewhere"
    desk.client.lpush(BULK, json.dumps(good))
    desk.run(claiming([BULK], most=0))
    body = json.loads(unreadable(job))["body"]
    desk.client.hset(keys.job(job.job_id), "asks", hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest())
    if desk.field(job, "message"):
        desk.client.hset(keys.job(job.job_id), "message", unreadable(job))
    else:
        desk.client.lset(BULK, -1, unreadable(job))


def taken(desk: Desk) -> list[claims.Claimed]:
    """What workers get now."""
    found, _ = claims.claimed(desk.run(claiming([BULK], most=100)))
    return found


def refuse(desk: Desk, one: claims.Claimed, job: AnyJob) -> None:
    """As a worker buries what breaks the contract."""
    desk.run(
        ends.bury(
            ends.Hand(one.tag, job.job_id, TTL_S),
            cause=Cause.INVALID,
            detail="value: must be a decimal number",
            kind=job.kind.value,
            instance=job.instance,
        )
    )


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("make", [deal, lambda **given: change(5, **given)], ids=["create", "update"])
def test_its_key_is_free_for_the_message_that_was_put_right(
    desk: Desk, make: Callable[..., AnyJob], *, own: bool
) -> None:
    """Nobody has read what was asked for under it: the next one is no twin of a dead letter."""
    bad, good = (make(idempotency_key="order-1", lane="bulk") for _ in range(2))
    filed_before(desk, bad)
    (one,) = taken(desk)
    refuse(desk, one, bad)

    (desk.enqueue if own else desk.push)(good)

    hand, job, answer = desk.send_next()
    assert isinstance(answer, Go)
    assert job.job_id == good.job_id
    desk.succeed(hand, job)
    assert desk.states([bad, good]) == ["dead", "succeeded"]
    # Put right by a person as well, it is the twin of the one that was carried out, or overtaken by it.
    if desk.replay(bad, message=encode(bad)) == "superseded":
        assert good.kind is Kind.UPDATE
        return
    desk.line_moves()
    ((hand, job),) = desk.claim()
    desk.begin(hand, job)
    assert desk.state(bad) == "discarded"


def test_it_gives_its_slot_and_its_place_in_flight_back(desk: Desk) -> None:
    """Thirty of them take nothing of two requests a minute, and no call in flight."""
    desk.run(told("acme", requests=2, concurrency=2))
    for _ in range(30):
        bad = deal(lane="bulk")
        filed_before(desk, bad)
        (one,) = taken(desk)
        refuse(desk, one, bad)
        assert desk.state(bad) == "dead"
    good = deal(lane="bulk")
    desk.enqueue(good)

    assert desk.state(good) == "queued", "it waits for a slot that nobody has used"
    assert desk.client.zrange(keys.PREFIX + "calls", 0, -1) == [good.job_id.encode()]
    assert desk.client.zrange(f"{keys.PREFIX}inflight:acme", 0, -1) == [good.job_id.encode()]


def test_behind_an_earlier_update_it_is_judged_in_its_turn_and_holds_up_nobody(desk: Desk) -> None:
    """An update, one that cannot be read, and another, of the same record."""
    first, bad, last = (change(5, title=title, lane="bulk") for title in ("1", "2", "3"))
    desk.enqueue(first)
    filed_before(desk, bad)
    hand, job, _ = desk.send_next()
    assert not taken(desk)
    assert desk.state(bad) == "blocked"
    desk.enqueue(last)
    desk.succeed(hand, job)

    (one,) = taken(desk)
    refuse(desk, one, bad)

    hand, job, _ = desk.send_next()
    assert job.job_id == last.job_id
    desk.succeed(hand, job)
    assert desk.states([first, bad, last]) == ["succeeded", "dead", "succeeded"]
