"""What a ledger is told that forgot of a request."""

from typing import Any

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import ends, operating, recalling
from oppsync_worker.ledger.ends import Effects, Hand, State
from oppsync_worker.ledger.scripts import Call


def _succeeded(hand: Hand, opportunity_id: int = 5) -> Call:
    return recalling.as_sent(
        ends.succeed(hand, opportunity_id=opportunity_id, result={}, effects=Effects(wrote=("title",)))
    )


def _doubted(hand: Hand) -> Call:
    return recalling.as_sent(ends.doubt(hand, attempt=ATTEMPT))


def _again(hand: Hand, **given: Any) -> Call:
    return recalling.as_sent(ends.reschedule(hand, delay_ms=5, attempt=ATTEMPT, effects=Effects(**given)))


def _settle(w: World, call: Call, job: AnyJob, **given: Any) -> None:
    """As `Book.settle_sent` does."""
    if not recalling.is_forgotten(w.run(call)):
        return
    sent = recalling.Sent(job, lease_ms=60_000, marker_field="f", **given)
    if recalling.recalled(w.run(recalling.recall(call, sent, sent_ms_ago=700))).settle:
        w.run(call)


def an_empty_ledger_is_told_all(w: World) -> None:
    """A create and an update, whatever became of them."""
    w.told()
    key = {"idempotency_key": "k", "external_ref": "r", "deadline": "2027-01-16T00:00:00Z"}
    _settle(w, _succeeded(Hand("1-1", "c1", 99)), create("c1", **key))
    _settle(w, _doubted(Hand("1-2", "c2", 99)), create("c2", idempotency_key="k"))
    _settle(w, _succeeded(Hand("1-3", "u1", 99)), update("u1", 5))
    _settle(w, _again(Hand("1-4", "u2", 99), unsure=True, wrote=("title",)), update("u2", 6))


def it_forgot_the_begin_only(w: World) -> None:
    """The claim is there, or the job stands where it was before: queued, waiting, held, scheduled, blocked."""
    w.told(requests=60, concurrency=5)
    job = create("c1")
    w.enqueue(job)
    (hand,) = w.claim()
    _settle(w, _doubted(hand), job)
    w.enqueue(create("c2"), update("u1", 5), update("u2", 5), create("c3", not_before="2027-01-15T09:00:00Z"))
    for job_id in ("c2", "u1", "u2", "c3"):
        one = w.jobs[job_id]
        _settle(w, _again(Hand("9-9", job_id, 99), unsure=True, wrote=("title",)), one)
        _settle(w, _doubted(Hand("9-9", job_id, 99)) if job_id[0] == "c" else _succeeded(Hand("9-9", job_id, 99)), one)


def it_counts_a_queued_jobs_slot_as_used(w: World) -> None:
    """And gives its place in flight to the next."""
    w.told(concurrency=1)
    first = create("c1")
    w.enqueue(first, create("c2"))
    _settle(w, _succeeded(Hand("9-9", "c1", 99)), first)


def it_has_ended_the_job_already(w: World) -> None:
    """Two records for one job are told to a person; the same one is no news."""
    w.told()
    job = create("c1", external_ref="r")
    (hand,) = w.sends(job)
    w.succeed(hand, 5)
    for opportunity_id in (5, 6, 6, 7):
        _settle(w, _succeeded(Hand("9-9", "c1", 99), opportunity_id), job)
    _settle(w, _doubted(Hand("9-9", "c1", 99)), job)
    _settle(w, _doubted(hand), job)
    _settle(w, _again(Hand("9-9", "c1", 99)), job)
    other = update("u1", 5)
    (hand,) = w.sends(other)
    w.succeed(hand)
    _settle(w, _succeeded(Hand("9-9", "u1", 99), 6), other)


def it_has_dropped_the_job(w: World) -> None:
    """A create's record is one too many."""
    w.told()
    for job in (create("c1"), update("u1", 5)):
        (hand,) = w.sends(job)
        w.bury(hand)
        w.run(operating.discard(job.job_id, state=State.DEAD, by="me", ttl_s=9))
        _settle(w, _again(Hand("9-9", job.job_id, 99)), job)
        _settle(w, _succeeded(Hand("9-9", job.job_id, 99)), job)


def it_has_buried_or_expired_the_job(w: World) -> None:
    """The success wins, and what was told before is not true any more."""
    w.told()
    dead = create("c1", idempotency_key="k1")
    (hand,) = w.sends(dead)
    w.bury(hand)
    _settle(w, _again(Hand("9-9", "c1", 99)), dead)
    _settle(w, _succeeded(Hand("9-9", "c1", 99)), dead)
    for number, history in ((2, True), (3, False)):
        job = create(
            f"c{number}",
            idempotency_key=f"k{number}" if history else None,
            not_before="2027-01-16T00:00:00Z",
            deadline="2027-01-17T00:00:00Z",
        )
        w.enqueue(job)
        w.passes(3 * 86_400_000)
        w.promote(seen=(w.now - 10, 10))
        w.promote(seen=(w.now - 10, 10))
        w.passes(6_000)
        w.promote(seen=(w.now - 10, 10))
        if history:
            w.put("RPUSH", f"oppsync:attempts:c{number}", "{}")
        _settle(w, _succeeded(Hand("9-9", f"c{number}", 99)), job)
        w.passes(-3 * 86_400_000 - 6_000)
        w.put("DEL", "oppsync:clock")


def another_owner_sends_it(w: World) -> None:
    """A create's truth wins; an update's waits for whoever sends it now."""
    w.told()
    for job in (create("c1"), create("c2"), update("u1", 5)):
        (hand,) = w.sends(job)
        end = _succeeded if job.job_id == "c1" else _doubted if job.job_id == "c2" else _succeeded
        _settle(w, end(Hand("9-9", job.job_id, 99)), job)
        w.succeed(hand)


def two_attempts_are_in_doubt(w: World) -> None:
    """That the other one was not carried out ends the doubt no more."""
    w.told()
    job = create("c1")
    (hand,) = w.sends(job)
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    _settle(w, _doubted(Hand("9-9", "c1", 99)), job)
    _settle(w, _again(Hand("9-8", "c1", 99)), job)
    _settle(w, _succeeded(Hand("9-8", "c1", 99)), job)


def a_tag_was_given_twice(w: World) -> None:
    """Its claim is another job's now: only a success is believed, as the end of a doubt."""
    w.told()
    w.enqueue(create("c9"))
    (other,) = w.claim()
    job = create("c1", external_ref="r")
    for end in (_doubted, _succeeded):
        _settle(w, end(Hand(other.tag, "c1", 99)), job)


def it_knows_another_job_under_the_id(w: World) -> None:
    """Then it is not this claim's to tell."""
    w.told()
    w.enqueue(create("c1"), update("u1", 5))
    _settle(w, _succeeded(Hand("9-9", "c1", 99)), create("c1", instance="b"))
    _settle(w, _succeeded(Hand("9-9", "u1", 99)), create("u1"))


def what_a_remembered_request_led_to_stands(w: World) -> None:
    """Scheduled by its own end, it is not told to be so once more."""
    w.told()
    job = update("u1", 5)
    (hand,) = w.sends(job)
    w.run(ends.reschedule(hand, delay_ms=900_000, attempt=ATTEMPT))
    _settle(w, _doubted(hand), job)
    _settle(w, _again(Hand("9-9", "u1", 99)), job)
    _settle(w, _again(Hand("9-9", "u1", 99), wrote=("title",), unsure=True), job)
    _settle(w, _succeeded(hand), job)


def an_unread_message_at_hand_is_kept(w: World) -> None:
    """Of a job that the sweep gave up."""
    w.told()
    job = create("c1")
    w.enqueue(job)
    (hand,) = w.claim()
    w.run(Call("lose", ("c1", str(w.now), "v")))
    _settle(w, _again(hand), job)
    w.put("LPUSH", "opportunities.bulk", encode(create("c2")).replace('"oppsync"', '"gen"'))
    (hand,) = w.claim() or w.claim()
    _settle(w, _succeeded(hand), create("c2"))


def two_jobs_were_sent_under_one_key(w: World) -> None:
    """The ledger had forgotten of one when the other was enqueued: a success keeps the key, and a surplus is told."""
    w.told(requests=600)
    for number, standing in enumerate(("queued", "sending", "in_doubt", "succeeded")):
        for end in (_succeeded, _doubted, _again):
            name = f"{standing}-{end.__name__[1:3]}"
            first = create(f"a-{name}", idempotency_key=name)
            w.enqueue(first)
            hand = w.take(first.job_id)
            if standing != "queued":
                w.begin(hand, first)
            if standing == "in_doubt":
                w.run(ends.doubt(hand, attempt=ATTEMPT))
            elif standing == "succeeded":
                w.succeed(hand, 70 + number)
            second = create(f"b-{name}", idempotency_key=name)
            _settle(w, end(Hand("9-9", second.job_id, 99)), second)
            w.passes(3_000)


def updates_under_one_key_are_no_surplus(w: World) -> None:
    """Nor is another request under it a twin."""
    w.told()
    first = update("a1", 5, idempotency_key="k")
    (hand,) = w.sends(first)
    w.succeed(hand)
    second = update("b1", 5, idempotency_key="k")
    _settle(w, _succeeded(Hand("9-9", "b1", 99)), second)
    (hand,) = w.sends(create("a2", idempotency_key="j"))
    w.succeed(hand)
    other = create("b2", idempotency_key="j", title="other")
    _settle(w, _succeeded(Hand("9-8", "b2", 99)), other)


def a_forgotten_update_comes_before_those_that_were_enqueued_later(w: World) -> None:
    """And behind one that was sent meanwhile; if it must go again, what newer ones write is remembered."""
    w.told(requests=600)
    for record, sent, end in ((5, False, _succeeded), (6, False, _again), (7, True, _again), (8, True, _succeeded)):
        earlier = update(f"e{record}", record)
        if not sent:
            w.enqueue(earlier)
        w.passes(701)
        w.enqueue(update(f"l{record}", record), update(f"m{record}", record))
        if sent:
            hand = w.take(f"l{record}")
            w.begin(hand, update(f"l{record}", record))
        job = update(f"u{record}", record)
        _settle(w, end(Hand("9-9", job.job_id, 99)), job)


def what_a_worker_knows_of_a_forgotten_job_is_written(w: World) -> None:
    """How many attempts it had, and whose message it is."""
    w.told()
    for number, given in enumerate(({"attempts": 3}, {"own": False}, {"attempts": 2, "own": False})):
        job = create(f"c{number}")
        _settle(w, _again(Hand("9-9", job.job_id, 99)), job, **given)
    w.push(create("x1"), compression="zlib")
    hand = w.take("x1")
    _settle(w, _again(hand), create("x1"), own=False)
    (hand,) = w.sends(create("c9"))
    w.put("HSET", "oppsync:job:c9", "state", "queued", "attempts", 5)
    _settle(w, _succeeded(hand), create("c9"), attempts=2)


def what_a_remembered_create_led_to_stands(w: World) -> None:
    """Scheduled, or dead, by its own end: nothing is told a second time, and it is in no doubt."""
    w.told()
    for job, end in ((create("c1"), _doubted), (create("c2"), _doubted), (update("u1", 5), _again)):
        (hand,) = w.sends(job)
        if job.job_id != "c1":
            w.bury(hand)
        else:
            w.run(ends.reschedule(hand, delay_ms=900_000, attempt=ATTEMPT))
        _settle(w, end(hand, unsure=True, wrote=("title",)) if end is _again else end(hand), job)


def it_forgot_of_a_begin_whose_request_goes_again(w: World) -> None:
    """The claim is in hand: the try counts, and the job waits for its next one."""
    w.told(requests=600)
    for job in (create("c1"), update("u1", 5)):
        w.enqueue(job)
        _settle(w, _again(w.take(job.job_id), unsure=job.job_id == "u1"), job)


def a_twin_that_is_found_out_makes_room_for_the_next(w: World) -> None:
    """It had a slot when the other one's success was told."""
    w.told(concurrency=1)
    first, second = (create(job_id, idempotency_key="k") for job_id in ("c1", "c2"))
    w.enqueue(first, create("c9"))
    hand = w.take("c1")
    _settle(w, _succeeded(Hand("9-9", "c2", 99)), second)
    w.begin(hand, first)


def it_does_not_take_a_key_that_another_has_by_now(w: World) -> None:
    """One that has succeeded under it."""
    w.told()
    w.enqueue(create("c1", idempotency_key="k", not_before="2027-01-16T00:00:00Z"))
    (hand,) = w.sends(create("c9", idempotency_key="j"))
    w.succeed(hand, 9)
    w.put("SET", "oppsync:idem:acme:k", "c9")
    _settle(w, _succeeded(Hand("9-9", "c1", 99)), create("c1", idempotency_key="k"))


def a_surplus_is_told_for_thirty_days(w: World) -> None:
    """Then it is not listed any more."""
    w.told()
    for number, days in enumerate((0, 29, 1, 0)):
        job = create(f"c{number}")
        (hand,) = w.sends(job)
        w.succeed(hand, 5)
        w.passes(days * 86_400_000)
        _settle(w, _succeeded(Hand("9-9", job.job_id, 99), 6), job)
        w.passes(1_000)
