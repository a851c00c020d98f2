"""How a request ended."""

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, ends, enqueuing, operating, recalling
from oppsync_worker.ledger.begin import left_late
from oppsync_worker.ledger.ends import Effects, Hand, Marker
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.ledger.standing import stand


class _Known:
    kind, instance, lane = "opportunities.create", "acme", "interactive"


def _refused(hand: Hand, *, most: int = 2, fingerprint: str = "f", most_delay_ms: int = 900_000) -> Call:
    return ends.refuse_credential(
        hand, fingerprint=fingerprint, attempt=ATTEMPT, max_refusals=most, max_delay_ms=most_delay_ms
    )


def a_create_succeeds(w: World) -> None:
    """Its record is known to all who wait for it; told again nothing changes."""
    w.told()
    job = create("c1", external_ref="r", idempotency_key="k")
    w.enqueue(update("u1", "r"), update("u2", "r", lane="interactive"))
    (hand,) = w.sends(job)
    end = ends.succeed(
        hand,
        opportunity_id=5,
        result={"a": 1},
        attempt=ATTEMPT,
        effects=Effects(answers=True),
        marker=Marker(7, lands=True),
    )
    w.run(end)
    w.run(end)
    w.run(recalling.as_sent(end))


def who_succeeds_took_no_worker_down(w: World) -> None:
    """One died over it before; that is forgotten."""
    w.told()
    job = create("c1")
    w.enqueue(job)
    w.claim()
    w.passes(60_000)
    w.restore()
    (hand,) = w.claim()
    w.begin(hand, job)
    w.succeed(hand, 5)


def a_record_without_a_marker_is_remembered(w: World) -> None:
    """As long as the outcome of its job."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.succeed(hand, 5, marker=Marker(7, lands=False))
    (hand,) = w.sends(create("c2"))
    w.succeed(hand, 6, marker=Marker(7, lands=None))


def an_update_succeeds(w: World) -> None:
    """The next of its record goes on."""
    w.told()
    (hand,) = w.sends(update("u1", 5), update("u2", 5), update("u3", 6))[:1]
    w.succeed(hand, 5, effects=Effects(answers=True, wrote=("title",)))


def a_stale_claim_changes_nothing(w: World) -> None:
    """Sending under another claim, gone, of another job, or elsewhere by now."""
    w.told()
    job = create("c1")
    (hand,) = w.sends(job)
    w.put("LPUSH", "opportunities.bulk", enqueuing.enqueue(job).arguments[-1])
    (copy,) = w.claim()
    w.succeed(copy)
    w.succeed(copy)
    w.succeed(Hand("9-9", "c1", 5))
    w.run(recalling.as_sent(ends.doubt(Hand("9-9", "c1", 5), attempt=ATTEMPT)))
    w.succeed(Hand(hand.tag, "c9", 5))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.put("LPUSH", "opportunities.bulk", enqueuing.enqueue(job).arguments[-1])
    (copy,) = w.claim()
    w.succeed(copy)


def before_it_was_sent_only_what_needs_no_sending_is_told(w: World) -> None:
    """An end of a request is not of a claim that has not begun."""
    w.told()
    job = create("c1")
    w.enqueue(job)
    (hand,) = w.claim()
    w.run(recalling.as_sent(ends.doubt(hand, attempt=ATTEMPT)))
    w.begin(hand, job)
    w.run(recalling.as_sent(ends.doubt(hand, attempt=ATTEMPT)))


def the_late_truth_ends_a_doubt(w: World) -> None:
    """Of the attempt that is in doubt, and of none before it."""
    w.told()
    for job_id, tag in (("c1", ""), ("c2", "9-9")):
        (hand,) = w.sends(create(job_id))
        w.put("ZADD", "oppsync:leases", 1, hand.tag)
        w.restore()
        w.succeed(Hand(tag or hand.tag, job_id, 100), 5)
        w.run(ends.doubt(hand, attempt=ATTEMPT))


def it_is_tried_again(w: World) -> None:
    """After a pause, counted on Redis' clock; the crashes of before are forgotten."""
    w.told()
    job = update("u1", 5)
    (hand,) = w.sends(job)
    w.put("HSET", "oppsync:job:u1", "crashes", 2)
    w.run(
        ends.reschedule(
            hand, delay_ms=1_500, attempt=ATTEMPT, effects=Effects(answers=False, wrote=("title",), unsure=True)
        )
    )
    w.enqueue(update("u2", 5))
    w.passes(1_500)
    w.promote()
    (hand,) = w.claim()
    w.run(ends.reschedule(hand, delay_ms=10, attempt=ATTEMPT, put_back=_Known()))


def an_unread_job_is_put_back(w: World) -> None:
    """What is known of it is written."""
    w.told()
    w.push(create("c1"), compression="zlib")
    (hand,) = w.claim()
    w.run(stand(hand))
    w.run(ends.reschedule(hand, delay_ms=10, attempt=ATTEMPT, put_back=_Known()))
    w.run(stand(hand))


def a_throttle_pauses_all(w: World) -> None:
    """No attempt is spent; a longer pause is not shortened; what was taught is kept."""
    w.told(requests=60)
    hands = []
    for job_id in ("c1", "c2", "c3"):
        hands += w.sends(create(job_id))
        w.passes(2_000)
    w.run(ends.wait(hands[0], cool_down_ms=20_000, limit=30, attempt=ATTEMPT))
    w.run(ends.wait(hands[1], cool_down_ms=5_000, limit=None, attempt=ATTEMPT))
    w.run(ends.wait(hands[2], cool_down_ms=5_000, limit=1, attempt=ATTEMPT))
    w.enqueue(create("c4"))
    w.passes(15_999)
    w.promote()
    w.passes(2)
    w.promote()
    w.passes(30_000)
    w.promote()
    w.passes(3_600_000)
    w.promote()


def a_dead_letter_is_kept(w: World) -> None:
    """With its message; updates behind it go on, or wait for it where that was chosen."""
    w.told()
    for after_dead, record in (("go", 5), ("wait", 6)):
        w.put("HSET", "oppsync:budget:acme", "after_dead", after_dead)
        w.enqueue(update(f"u{record}1", record), update(f"u{record}2", record))
        hand = w.take(f"u{record}1")
        w.begin(hand, update(f"u{record}1", record))
        w.bury(hand, effects=Effects(answers=True))
        w.enqueue(update(f"u{record}3", record))
    w.enqueue(create("c1", idempotency_key="k"))
    w.bury(w.take("c1"), attempt=None)


def an_unreadable_message_is_buried(w: World) -> None:
    """It gives back the key under which it was filed."""
    w.told()
    w.push(create("c1", idempotency_key="k"), create("c2", idempotency_key="k2"))
    w.claim()
    hands = {hand.job_id: hand for hand in w.claim()}
    w.bury(hands["c1"], kind="opportunities.create", instance="acme", attempt=None)
    w.put("SET", "oppsync:idem:acme:k2", "c9")
    w.bury(hands["c2"], attempt=None)
    w.push(create("c3"), compression="zlib")
    (hand,) = w.claim()
    w.bury(hand, kind="opportunities.create", instance="acme", attempt=None)


def a_strangers_copy_is_put_aside(w: World) -> None:
    """Whatever its end: the job that has the id is left alone."""
    w.told()
    (hand,) = w.sends(create("c1"))
    for _ in range(2):
        w.push(create("c1"), compression="zlib")
    first, second = w.claim()
    w.bury(first, attempt=None)
    w.run(ends.reschedule(second, delay_ms=5, attempt=ATTEMPT))
    w.succeed(hand)


def given_up_by_the_sweep_it_gets_its_message_back(w: World) -> None:
    """When whoever has it tells of it."""
    w.told()
    w.enqueue(create("c1"), create("c2"))
    first, second = w.claim()
    for hand in (first, second):
        w.run(Call("lose", (hand.job_id, str(w.now), "1")))
    w.bury(first)
    w.run(claims.release(second.tag))
    for hand in w.claim():
        w.bury(hand)


def an_instance_that_nobody_knows_is_held(w: World) -> None:
    """All of its line, if no worker has told of it for a minute; only the one job otherwise."""
    for instance in ("new", "acme", "old"):
        if instance != "new":
            w.told(instance)
        if instance == "old":
            w.put("HSET", "oppsync:budget:old", "announced_at", w.now - 60_001)
        if instance == "acme":
            w.put("HSET", "oppsync:budget:acme", "announced_at", w.now - 60_000)
        w.enqueue(create(f"c-{instance}", instance=instance), create(f"d-{instance}", instance=instance))
        hand, *_ = w.claim()
        w.run(ends.hold_unknown_instance(hand, kind="opportunities.create", instance=instance, lane="bulk"))
        w.enqueue(create(f"e-{instance}", instance=instance))
        w.promote()
    for instance in ("new", "acme", "old"):
        w.told(instance)
        w.promote()


def an_instance_on_hold_keeps_what_comes_back(w: World) -> None:
    """Held with the others."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.run(operating.hold("acme", cause="asked", note="n"))
    w.run(ends.hold_unknown_instance(hand, kind="opportunities.create", instance="acme", lane="bulk"))


def a_job_that_alone_is_refused_dies(w: World) -> None:
    """After so many times with others succeeding in between; its pause doubles, up to a bound."""
    w.told()
    job, good = create("c1"), create("good")
    (hand,) = w.sends(job)
    for number in range(6):
        w.run(_refused(hand, most=2, most_delay_ms=25_000))
        w.run(_refused(hand, most=2))
        if number in {1, 3, 4}:
            (other,) = w.sends(create(f"good{number}"))
            w.succeed(other)
        w.passes(40_000)
        w.promote()
        for hand in w.claim():
            w.begin(hand, job)
    del good


def different_jobs_that_are_refused_hold_their_instance(w: World) -> None:
    """Those in flight together are one round; another credential, or a person, sends them on."""
    w.told()
    w.put("SADD", "oppsync:releasing", "acme")
    hands = w.sends(*(create(f"c{n}") for n in range(4)))
    for hand in hands:
        w.run(_refused(hand))
    for _ in range(3):
        w.passes(20_000)
        w.promote()
        for hand in w.claim():
            w.begin(hand, create(hand.job_id))
            w.run(_refused(hand))
    w.told()
    w.told(fingerprint="g")
    w.promote()


def a_credential_hold_that_is_lifted_is_tried_by_one(w: World) -> None:
    """All others wait for what becomes of it."""
    w.told()
    hands = w.sends(create("c1"), create("c2"))
    for hand in hands:
        w.run(_refused(hand, fingerprint="old"))
    w.run(operating.hold("acme", cause="credential", note="n"))
    w.run(operating.unhold("acme", cause="asked"))
    w.run(operating.unhold("acme", cause="credential"))
    w.run(operating.unhold("acme"))
    w.told(fingerprint="old")
    w.told(fingerprint="new")
    w.run(operating.hold("acme", cause="credential", note="n"))
    w.run(operating.unhold("acme"))


def a_success_ends_a_row_of_refusals(w: World) -> None:
    """One proof more that the credential is good."""
    w.told()
    first, second = w.sends(create("c1"), create("c2"))
    w.run(_refused(first))
    w.passes(10_000)
    w.promote()
    (first,) = w.claim()
    w.begin(first, create(first.job_id))
    w.succeed(first)
    w.succeed(second)


def too_many_refused_are_not_all_remembered(w: World) -> None:
    """So that the list stays short."""
    w.told()
    w.put("ZADD", "oppsync:refused:acme", *(part for n in range(999) for part in (n, f"x{n}")))
    first, second = w.sends(create("c1"), create("c2"))
    w.run(_refused(first))
    w.run(_refused(second))


def replicas_that_lag_are_waited_for(w: World) -> None:
    """Nothing was sent, no attempt is spent."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.run(ends.not_replicated(hand))


def a_lost_update_delays_the_next_of_its_record(w: World) -> None:
    """As long as it may still be carried out; itself it goes again at once."""
    w.told()
    w.run(Call("instance", ("acme", "f", "settle_ms", 30_000)))
    (hand,) = w.sends(update("u1", 5))
    w.bury(hand, effects=Effects(unsure=True, wrote=("title",)))
    w.enqueue(update("u2", 5))
    w.run(operating.replay("u1", by="me", writes=("title",)))
    w.put("HSET", "oppsync:budget:acme", "settle_ms", 0)
    w.enqueue(update("u3", 6))
    hand = w.take("u3")
    w.begin(hand, update("u3", 6))
    w.bury(hand, effects=Effects(unsure=True))


def a_late_start_is_counted_when_it_was(w: World) -> None:
    """Or the window would be over too early; forgotten ones are no matter."""
    w.told(requests=60)
    w.sends(create("c1"))
    counted_at = w.now
    for ms in (400, 100):
        w.passes(ms)
        w.run(left_late("acme", counted_at=counted_at, late_ms=300))
    # Redis had got the question late: nothing leaves in the future, nor before it was counted.
    w.run(left_late("acme", counted_at=counted_at + 300, late_ms=50_000))
    w.run(left_late("acme", counted_at=w.now, late_ms=-400))
    for ms, requests in ((119_000, 60), (0, 0), (2_000, 60)):
        w.passes(ms)
        w.told(requests=requests)
        w.run(left_late("acme", counted_at=counted_at, late_ms=500))


def what_a_later_worker_knows_of_an_unread_job_is_written(w: World) -> None:
    """The first one did not know whose it was, or not even its kind."""
    w.told()
    for job_id, known in (("c1", ()), ("c2", ("kind", "opportunities.create"))):
        w.push(create(job_id), compression="zlib")
        hand = w.take(job_id)
        w.run(Call("settle", (hand.tag, job_id, "scheduled", 9, "delay", 10, *known)))
        w.passes(10)
        w.promote()
        w.run(ends.reschedule(w.take(job_id), delay_ms=900_000, attempt=ATTEMPT, put_back=_Known()))


def a_copy_does_not_overwrite_a_letter(w: World) -> None:
    """Which has its message."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.bury(hand)
    w.put("LPUSH", "opportunities.bulk", encode(create("c1", title="other")))
    (copy,) = w.claim()
    w.bury(copy)


def another_foreign_message_under_the_id_of_a_foreign_job_is_put_aside(w: World) -> None:
    """It asks for something else; the same one again is a copy."""
    w.told()
    w.push(create("x1"))
    w.claim(0)
    w.push(create("x1", title="other"), create("x1"), compression="zlib")
    (hand, other, copy) = w.claim()
    w.bury(other, attempt=None)
    w.bury(copy, attempt=None)
    w.begin(hand, create("x1"), own=False)


def an_end_that_cannot_follow_is_refused(w: World) -> None:
    """Nothing succeeds that was not sent; nothing is changed."""
    w.told()
    w.enqueue(create("c1"))
    w.succeed(w.take("c1"))
