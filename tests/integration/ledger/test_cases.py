"""Interleavings that once went wrong, step by step."""

import time
from typing import Any

import pytest
import redis

from oppsync import CreateOpportunity, State, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import begin, claims, ends, enqueuing, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from oppsync_worker.ledger.scripts import run
from stage import claiming, eventually, time_passes, told

QUEUES = ["opportunities.interactive", "opportunities.bulk"]
ATTEMPT = ends.Attempt(at="", number=1, duration_ms=1, status=401, error="Throttled", message="words")


def deal(**given: Any) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity.parse({"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130, **given})


@pytest.fixture(autouse=True)
def _no_limits(ledger: redis.Redis) -> None:
    for instance in ("acme", "globex"):
        budget(ledger, instance, requests=0, concurrency=0)


def budget(ledger: redis.Redis, instance: str, *, requests: int, concurrency: int) -> None:
    """Announce a budget per 60 s."""
    run(ledger, told(instance, requests=requests, concurrency=concurrency))


def push(ledger: redis.Redis, job: AnyJob) -> None:
    """As another application does: no entry in the ledger."""
    ledger.lpush(job.lane.queue, encode(job))


def claim(ledger: redis.Redis, job: AnyJob, *, lease_ms: int = 60_000) -> ends.Hand:
    """Take one message."""
    (one,), _ = claims.claimed(run(ledger, claiming(QUEUES, most=1, lease_ms=lease_ms)))
    return ends.Hand(one.tag, job.job_id, 60)


def ask(ledger: redis.Redis, hand: ends.Hand, job: AnyJob) -> begin.Answer:
    """May it be sent?"""
    return begin.begun(run(ledger, begin.begin(hand, job, horizon_ms=250, number=time.monotonic_ns())))


def state(ledger: redis.Redis, job: AnyJob) -> str:
    """Where the job is."""
    return (ledger.hget(keys.job(job.job_id), "state") or b"").decode()


def expire_leases(ledger: redis.Redis) -> list[Any]:
    """All workers fall silent."""
    for tag in ledger.zrange(keys.LEASES, 0, -1):
        ledger.zadd(keys.LEASES, {tag: 1})
    return list(run(ledger, claims.restore(most=100, crashes=3, ttl_s=60)))


def test_twins_are_found_although_they_were_held_before_they_were_begun(ledger: redis.Redis) -> None:
    """Two foreign creates with one key, seen first by a worker that does not know their instance."""
    twins = [deal(idempotency_key="k"), deal(idempotency_key="k")]
    for twin in twins:
        push(ledger, twin)
        hand = claim(ledger, twin)
        run(ledger, ends.hold_unknown_instance(hand, kind=twin.kind, instance="acme", lane="interactive"))

    run(ledger, told("acme"))
    run(ledger, time_passes())
    answers = []
    for _ in twins:
        (one,), _ = claims.claimed(run(ledger, claiming(QUEUES, most=1)))
        twin = next(job for job in twins if job.job_id.encode() in one.message)
        answers.append(ask(ledger, ends.Hand(one.tag, twin.job_id, 60), twin))

    assert [type(answer) for answer in answers] == [Go, Parked]


def test_a_slot_that_was_reserved_before_a_throttle_is_void(ledger: redis.Redis) -> None:
    """Nobody calls during a cool-down."""
    budget(ledger, "acme", requests=600, concurrency=0)
    jobs = [deal(), deal(), deal()]
    for job in jobs:
        run(ledger, enqueuing.enqueue(job))
    taken, _ = claims.claimed(run(ledger, claiming(QUEUES, most=3)))
    # Among those that have a slot the newest is the first to be claimed.
    hands = [ends.Hand(one.tag, job.job_id, 60) for one, job in zip(reversed(taken), jobs, strict=True)]
    first = ask(ledger, hands[0], jobs[0])
    reserved = ask(ledger, hands[1], jobs[1])
    assert isinstance(first, Go)
    assert isinstance(reserved, begin.Soon)

    run(ledger, ends.wait(hands[0], cool_down_ms=60_000, limit=None, attempt=ATTEMPT))

    assert ask(ledger, hands[1], jobs[1]) == Parked(State.WAITING, "waiting")
    assert ask(ledger, hands[2], jobs[2]) == Parked(State.WAITING, "waiting")


def test_a_limit_that_the_crm_discloses_is_learned(ledger: redis.Redis) -> None:
    """Nine tenths of it, for an hour; and half the pace after the cool-down."""
    budget(ledger, "acme", requests=600, concurrency=0)
    job = deal()
    run(ledger, enqueuing.enqueue(job))
    hand = claim(ledger, job)
    ask(ledger, hand, job)

    run(ledger, ends.wait(hand, cool_down_ms=0, limit=10, attempt=ATTEMPT))

    assert ledger.hget(keys.budget("acme"), "learned") == b"9"
    run(ledger, time_passes())
    claimed_again = claim(ledger, job)
    eventually(lambda: isinstance(ask(ledger, claimed_again, job), Go))
    seconds, _ = ledger.time()
    ahead = float(ledger.hget(keys.budget("acme"), "next") or 0) / 1000 - seconds
    assert 10 < ahead < 15, "60 s / 9 at half the pace"


def test_another_kind_under_a_taken_id_is_put_aside(ledger: redis.Redis) -> None:
    """The job keeps its kind, and so its protection."""
    update = UpdateOpportunity(job_id="same", instance="acme", funnel_id=7, opportunity_id=1, title="U")
    create = deal(job_id="same")
    run(ledger, enqueuing.enqueue(update))
    real = claim(ledger, update)
    push(ledger, create)

    answer = ask(ledger, claim(ledger, create), create)

    assert answer == Parked(State.QUEUED, "copy")
    assert isinstance(ask(ledger, real, update), Go)
    (letter,) = ledger.zrange(keys.DEAD, 0, -1)
    assert letter.startswith(b"raw-")


def test_a_late_refusal_settles_a_doubt(ledger: redis.Redis) -> None:
    """The owner's own truth, after its claim ran out."""
    job = deal()
    run(ledger, enqueuing.enqueue(job))
    hand = claim(ledger, job)
    assert isinstance(ask(ledger, hand, job), Go)
    expire_leases(ledger)
    assert state(ledger, job) == "in_doubt"

    told = ends.ended(run(ledger, ends.bury(hand, cause=ends.Cause.REJECTED, detail="HTTP 400", attempt=ATTEMPT)))

    assert (told, state(ledger, job)) == (State.DEAD, "dead")


def test_an_end_that_is_told_twice_is_one_end(ledger: redis.Redis) -> None:
    """The answer to the first was lost on its way."""
    job = deal()
    run(ledger, enqueuing.enqueue(job))
    hand = claim(ledger, job)
    ask(ledger, hand, job)
    end = ends.succeed(hand, opportunity_id=5, result={})

    assert [ends.ended(run(ledger, end)) for _ in range(2)] == [State.SUCCEEDED, State.SUCCEEDED]


def test_a_request_too_many_waits_however_late_others_were(ledger: redis.Redis) -> None:
    """What was begun is counted, not only what was granted."""
    budget(ledger, "acme", requests=3, concurrency=0)
    jobs = [deal() for _ in range(4)]
    answers = []
    for job in jobs:
        run(ledger, enqueuing.enqueue(job))
        hand = claim(ledger, job)
        # As if its slot had come already.
        ledger.hset(keys.budget("acme"), "next", 0)
        answers.append(ask(ledger, hand, job))

    assert [type(answer) for answer in answers] == [Go, Go, Go, Parked]


def test_credentials_refused_together_count_once(ledger: redis.Redis) -> None:
    """Calls that were in flight at the same time: each job is tried again later, and the instance is not held."""
    jobs = [deal() for _ in range(5)]
    hands = []
    for job in jobs:
        run(ledger, enqueuing.enqueue(job))
        hands.append(claim(ledger, job))
        ask(ledger, hands[-1], job)

    for hand in hands:
        run(ledger, ends.refuse_credential(hand, fingerprint="f", attempt=ATTEMPT))

    assert {state(ledger, job) for job in jobs} == {"scheduled"}
    assert ledger.hget(keys.budget("acme"), "refusals") == b"1"
    assert ledger.scard(keys.HOLDS) == 0


def test_a_credential_hold_leaves_an_operators_hold_alone(ledger: redis.Redis) -> None:
    """Or a new token would lift it."""
    job = deal()
    run(ledger, enqueuing.enqueue(job))
    hand = claim(ledger, job)
    ask(ledger, hand, job)
    run(ledger, operating.hold("acme", cause="operator", note="moving house"))
    ledger.hset(keys.budget("acme"), "refusals", 2)

    run(ledger, ends.refuse_credential(hand, fingerprint="f", attempt=ATTEMPT))

    assert ledger.hget(keys.hold("acme"), "cause") == b"operator"


def test_a_member_that_does_not_belong_keeps_nobody_waiting(ledger: redis.Redis) -> None:
    """Struck off, and the others go on."""
    job = deal(not_before="2020-01-01T00:00:00Z")
    run(ledger, enqueuing.enqueue(job))
    ledger.zadd(keys.SCHEDULE, {job.job_id: 1, "ghost": 1})

    due, *_ = run(ledger, time_passes())

    assert due == 2
    assert ledger.zcard(keys.SCHEDULE) == 0
    assert ledger.llen("opportunities.interactive") == 1


def test_a_question_asked_again_gives_the_claims_that_nobody_has_heard_of(ledger: redis.Redis) -> None:
    """The answer was lost on its way: not a lease is waited for, and no crash counted."""
    jobs = [deal(), deal(), deal()]
    for job in jobs:
        run(ledger, enqueuing.enqueue(job))
    ask_two = claims.claim(QUEUES, most=2, lease_ms=60_000, worker="w", question="one")
    first, _ = claims.claimed(run(ledger, ask_two))
    settled = ends.Hand(first[0].tag, read_message(first[0].message).job_id, 60)
    run(ledger, ends.bury(settled, cause=ends.Cause.REJECTED, detail="", attempt=ATTEMPT))

    again, _ = claims.claimed(run(ledger, ask_two))
    next_one, _ = claims.claimed(run(ledger, claims.claim(QUEUES, most=2, lease_ms=60_000, worker="w", question="two")))

    assert again == first[1:]
    assert {one.message for one in (*first, *next_one)} == {encode(job).encode() for job in jobs}
    assert len(next_one) == 1
    assert ledger.zcard(keys.LEASES) == 2
