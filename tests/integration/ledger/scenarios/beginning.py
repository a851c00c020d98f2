"""Enqueueing, and asking to send."""

from datetime import UTC, datetime

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import START_MS, World, create, update
from oppsync import UpdateOpportunity
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import ends, enqueuing, operating
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.ledger.standing import stand
from oppsync_worker.ledger.sweeping import lose


def _at(ms: int) -> str:
    return datetime.fromtimestamp((START_MS + ms) / 1000, UTC).isoformat()


def a_create_is_sent_at_once(w: World) -> None:
    """Enqueued with a free slot, claimed, begun; asked again after a lost answer it is told the same."""
    w.told(requests=60)
    job = create("c1", external_ref="r1", idempotency_key="k1", deadline=_at(500_000))
    (hand,) = w.sends(job)
    w.passes(200)
    w.begin(hand, job, marker_field="f")
    w.run(stand(hand))
    w.begin(hand, job, number=1)


def asked_again_too_late_it_waits_anew(w: World) -> None:
    """An answer that was lost for longer than the pace can bear: what was counted is not sent any more."""
    for instance, requests in (("acme", 0), ("paced", 60)):
        w.told(instance, requests=requests)
        for late, job_id in ((300 if requests else 500, f"{instance}-1"), (301 if requests else 501, f"{instance}-2")):
            job = create(job_id, instance=instance)
            (hand,) = w.sends(job)
            w.passes(late)
            w.begin(hand, job)
            w.succeed(hand)
            w.passes(3000)


def what_is_there_already_is_not_enqueued_again(w: World) -> None:
    """The same id or key is answered with the job that stands; another request under it is a conflict."""
    w.told()
    w.enqueue(create("c1", idempotency_key="k1"))
    w.enqueue(create("c1", idempotency_key="k1"))
    w.enqueue(create("c2", idempotency_key="k1"))
    w.enqueue(create("c1", title="other"), create("c3", idempotency_key="k1", title="other"))
    w.enqueue(create("c4", instance="b", idempotency_key="k1"), update("c1", 5), create("c1", instance="b"))
    (hand, _) = w.claim()
    w.bury(hand)
    w.run(operating.discard("c1", state=ends.State.DEAD, by="me", ttl_s=100))
    w.enqueue(create("c5", idempotency_key="k1"))


def a_key_of_what_was_dropped_is_told_as_such(w: World) -> None:
    """In doubt it may have been done; superseded it was settled by newer ones."""
    w.told()
    job = create("c1", idempotency_key="k1")
    (hand,) = w.sends(job)
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.run(operating.discard("c1", state=ends.State.DEAD, by="me", ttl_s=100))
    w.run(operating.discard("c1", state=ends.State.IN_DOUBT, by="me", ttl_s=100))
    w.enqueue(create("c2", idempotency_key="k1"))
    w.put("HSET", "oppsync:job:c1", "cause", "superseded")
    w.enqueue(create("c2", idempotency_key="k1"))
    w.put("HSET", "oppsync:job:c1", "cause", "aborted")
    w.enqueue(create("c2", idempotency_key="k1"), create("c1"))


def batches_take_effect_in_turn(w: World) -> None:
    """A call whose predecessor is missing changes nothing."""
    first, second, third = (enqueuing.enqueue(create(f"c{n}")) for n in (1, 2, 3))
    w.run(Call("enqueue", ("t", 0, *first.arguments[2:])))
    w.run(Call("enqueue", ("t", 2, *third.arguments[2:])))
    w.run(Call("enqueue", ("t", 1, *second.arguments[2:])))
    w.run(Call("enqueue", ("t", 2, *third.arguments[2:])))
    w.run(Call("enqueue", ("u", 1, *third.arguments[2:])))


def a_backlog_stands_in_line(w: World) -> None:
    """Without a slot: by lane, then age; what is not due stands elsewhere, what must expire is watched."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"))
    w.passes(5)
    w.enqueue(create("c2", external_ref="r2", deadline=_at(9_000)), create("c3", lane="interactive"))
    w.enqueue(create("c4", not_before=_at(60_000)), create("c4b", not_before=_at(5)))
    w.enqueue(update("u5", "r5", lane="interactive"), create("c6", external_ref="r5"), update("u7", 7))
    w.run(operating.hold("acme", cause="asked", note="n"))
    w.enqueue(create("c8"), update("u9", 9, lane="interactive"))
    w.passes(2000)
    w.run(operating.unhold("acme"))
    w.enqueue(create("c10"))


def who_joins_a_backlog_has_its_names(w: World) -> None:
    """Alone or with others; and whoever uses them again is told, as elsewhere."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"))
    named = create("c2", idempotency_key="k2", external_ref="r2", deadline=_at(9_000))
    w.enqueue(named, named, create("c3", idempotency_key="k2"), create("c4", idempotency_key="k4"))
    w.enqueue(create("c5", idempotency_key="k4"))
    both = [enqueuing.enqueue(create(f"c{n}", idempotency_key=f"k{n}")) for n in (6, 7)]
    w.run(Call("enqueue", ("", 0, *both[0].arguments[2:], *both[1].arguments[2:])))
    w.run(Call("enqueue", ("", 0, *both[0].arguments[2:], *both[1].arguments[2:])))


def an_update_waits_for_those_before_it(w: World) -> None:
    """Of its record only; what it waits for inherits its lane, as far as the next interactive one."""
    w.told(requests=60)
    w.enqueue(update("u1", 5), update("u2", 5), update("u3", 5, lane="interactive"), update("u4", 6))
    w.passes(1)
    w.enqueue(create("c1", external_ref="r"), update("u5", "r"), update("u6", "r", lane="interactive"))
    w.enqueue(update("u7", "r", lane="interactive"))


def very_many_are_hurried(w: World) -> None:
    """Looking back goes on from helping to helping."""
    w.told(requests=60)
    w.enqueue(*(update(f"u{n}", 5) for n in range(45)))
    w.enqueue(update("u99", 5, lane="interactive"))


def times_and_deadlines(w: World) -> None:
    """Not yet due, or expired, when it is asked for; the deadline itself is too late."""
    w.told()
    early, late, last = (
        create("c1", not_before=_at(5_000)),
        create("c2", deadline=_at(1_000), idempotency_key="k"),
        create("c3", deadline=_at(1_001)),
    )
    w.enqueue(create("c1"), late, last)
    hands = w.claim()
    w.passes(1_000)
    asked = {job.job_id: job for job in (early, late, last)}
    for hand in hands:
        w.begin(hand, asked[hand.job_id])
    w.passes(4_000)
    w.promote()


def nobody_vouches_for_the_clock(w: World) -> None:
    """A deadline is not judged by it."""
    w.told()
    job = create("c1", deadline=_at(1_000))
    w.promote(seen=(START_MS - 500, 500))
    w.enqueue(job)
    (hand,) = w.claim()
    w.passes(60_001)
    w.begin(hand, job)


def what_was_sent_before_it_expired_is_said(w: World) -> None:
    """Never as if nothing could have happened."""
    w.told()
    tries = (("u1", False, 1), ("u2", False, 2), ("u3", True, 1), ("u4", True, 2))
    for job_id, unsure, times in tries:
        job = update(job_id, int(job_id[1:]), deadline=_at(100_000))
        w.enqueue(job)
        for left in reversed(range(times)):
            (hand,) = w.claim()
            w.begin(hand, job)
            effects = ends.Effects(unsure=unsure)
            w.run(ends.reschedule(hand, delay_ms=0 if left else 200_000, attempt=ATTEMPT, effects=effects))
            w.promote()
    for _ in range(2):
        w.passes(50_000)
        w.promote(seen=(w.now - 50_000, 50_000))


def a_dead_owners_create_is_in_doubt(w: World) -> None:
    """Its update goes again, after what may be under way still."""
    w.told()
    w.run(Call("instance", ("acme", "f", "settle_ms", 30_000)))
    made, changed = create("c1"), update("u1", 5)
    hands = w.sends(made, changed, update("u2", 5, title="V"))
    for hand, job in zip(hands, (made, changed), strict=False):
        w.put("DEL", f"oppsync:claim:{hand.tag}")
        w.put("ZREM", "oppsync:leases", hand.tag)
        message = enqueuing.enqueue(job).arguments[-1]
        w.put("RPUSH", "opportunities.bulk", message)
    for hand in w.claim():
        w.begin(hand, {"c1": made, "u1": changed}[hand.job_id])


def copies_of_a_job_change_nothing(w: World) -> None:
    """Whatever the job is doing: sending under another claim that lives, or ended."""
    w.told()
    job = create("c1")
    (hand,) = w.sends(job)
    message = enqueuing.enqueue(job).arguments[-1]
    w.put("LPUSH", "opportunities.bulk", message)
    (copy,) = w.claim()
    w.begin(copy, job)
    w.begin(copy, job)
    w.succeed(hand)
    w.put("LPUSH", "opportunities.bulk", message)
    (copy,) = w.claim()
    w.begin(copy, job)


def questions_that_come_late_change_nothing(w: World) -> None:
    """The same one, an older one, one about somebody else's claim."""
    w.told()
    job = create("c1")
    w.enqueue(job)
    (hand,) = w.claim()
    w.begin(hand, job, number=7)
    w.begin(hand, job, number=7)
    w.begin(hand, job, number=6)
    w.begin(ends.Hand(hand.tag, "c2", 5), create("c2"))
    w.begin(ends.Hand("9-9", "c1", 5), job)


def strangers_under_a_taken_id_are_put_aside(w: World) -> None:
    """The job that stands there is left alone, wherever it is; so is another foreign job."""
    w.told(requests=60)
    w.enqueue(create("c1"))
    for title in ("S", "X"):
        w.push(create("c1", title=title), update("u1", 5, title=title))
    for hand in w.claim():
        job = create("c1", title="S") if hand.job_id == "c1" else update("u1", 5, title="S")
        w.begin(hand, job, own=False)
    for hand in w.claim():
        job = create("c1", title="X") if hand.job_id == "c1" else update("u1", 5, title="X")
        w.begin(hand, job, own=False)


def a_foreign_job_is_known_when_it_is_begun(w: World) -> None:
    """What the claim could not read, a worker has: all of it is written now."""
    w.told()
    job = create("c1", external_ref="r", idempotency_key="k", deadline=_at(9_000))
    w.enqueue(update("u0", "r", lane="interactive"))
    w.push(job, update("u1", "r"), compression="zlib")
    first, second = w.claim()
    w.begin(first, job, own=False, marker_field="f")
    w.begin(second, update("u1", "r"), own=False)
    w.push(create("c2", idempotency_key="k"), create("c3", idempotency_key="k", title="other"), compression="zlib")
    first, second = w.claim()
    w.begin(first, create("c2", external_ref="r", idempotency_key="k", deadline=_at(9_000)), own=False)
    w.begin(second, create("c3", idempotency_key="k", title="other"), own=False)


def a_twin_that_asks_for_the_same_is_dropped(w: World) -> None:
    """And one that asks for something else is kept for a person; neither has the key."""
    w.told()
    for job_id in ("c1", "c2"):
        w.push(create(job_id, idempotency_key="k"), compression="zlib")
    w.push(create("c3", idempotency_key="k", title="other"), compression="zlib")
    for hand in w.claim():
        title = "other" if hand.job_id == "c3" else "T"
        w.begin(hand, create(hand.job_id, idempotency_key="k", title=title), own=False)


def with_no_slot_it_waits_or_comes_back_soon(w: World) -> None:
    """A slot that is near is kept; one that is far, or past, is not."""
    w.told(requests=600)
    w.enqueue(create("c1"), create("c2"), create("c3"), create("c4"), create("c5"))
    hands = w.claim()
    for number, hand in enumerate(hands):
        w.begin(hand, create(hand.job_id))
        if number == 1:
            w.passes(900)
    for hand in hands[:2]:
        w.begin(hand, create(hand.job_id))


def a_window_that_is_full_is_waited_for(w: World) -> None:
    """Counted are the requests that were begun, however the slots stand."""
    w.told(requests=2, window_ms=1_000)
    jobs = [create(f"c{n}") for n in range(4)]
    w.enqueue(*jobs)
    for ms in (100, 390, 490, 72):
        for hand in w.claim(1):
            w.begin(hand, create(hand.job_id))
        w.passes(ms)
        w.put("HSET", "oppsync:budget:acme", "next", 0)
        w.put("ZADD", "oppsync:slots", 1, "acme")
        w.promote(most=1)
    for hand in w.claim(1):
        w.begin(hand, create(hand.job_id))
        for ms in (17, 33, 1, 1):
            w.passes(ms)
            w.begin(hand, create(hand.job_id))


def with_its_instance_on_hold_it_is_held(w: World) -> None:
    """Also an update, that hurries whom it will wait for."""
    w.told()
    w.enqueue(create("c1"), update("u1", 5))
    first, second = w.claim()
    w.run(operating.hold("acme", cause="asked", note="n"))
    w.begin(first, create("c1"))
    w.begin(second, update("u1", 5))


def what_the_sweep_gave_up_is_taken_back(w: World) -> None:
    """When its message turns up after all."""
    w.told()
    for job in (create("c1"), update("u1", 5)):
        w.enqueue(job)
        hand = w.take(job.job_id)
        w.run(lose(job.job_id, since="1"))
        w.run(lose(job.job_id, since=str(w.now)))
        w.enqueue(update(f"{job.job_id}-newer", 5 if job.job_id == "u1" else 6, lane="interactive"))
        w.begin(hand, job)
        w.passes(3_000)


def mended_it_goes_to_another_record(w: World) -> None:
    """And leaves the line it stood in, so that others go on."""
    w.told()
    job, other = update("u1", 5), update("u2", 5, title="V")
    (hand,) = w.sends(job, other)
    w.bury(hand)
    w.put("HSET", "oppsync:refs:acme", "known", 77)
    for mended in (update("u1", 6), update("u1", "known"), update("u1", "r"), update("u1", "s"), update("u1", 7)):
        w.passes(3)
        message = str(enqueuing.enqueue(mended).arguments[-1])
        w.run(operating.replay("u1", by="me", message=message, writes=mended.written()))
        for hand in w.claim():
            if hand.job_id == "u1":
                w.begin(hand, mended, number=100)
                w.bury(hand)


def a_reference_that_is_known_is_followed(w: World) -> None:
    """The update joins the record's line, and is told which it is."""
    w.told()
    made = create("c1", external_ref="r")
    (hand,) = w.sends(made)
    w.succeed(hand, 77, marker=ends.Marker(7, lands=True))
    job = update("u1", "r")
    (hand,) = w.sends(job)
    w.begin(hand, job)
    w.succeed(hand, 77)


def newer_updates_are_not_overwritten(w: World) -> None:
    """By one that is replayed: fields that they wrote it does not send; with none left it is dropped."""
    w.told()
    old = update("u1", 5, title="old", value="1.00")
    (hand,) = w.sends(old)
    w.bury(hand)
    for job_id, given in (("u2", {"title": "new"}), ("u3", {"value": "2.00"})):
        newer = UpdateOpportunity.parse(
            {"job_id": job_id, "instance": "acme", "funnel_id": 7, "opportunity_id": 5, "lane": "bulk", **given}
        )
        (hand,) = w.sends(newer)
        w.succeed(hand, effects=ends.Effects(wrote=newer.written()))
        w.run(operating.replay("u1", by="me", writes=old.written()))
        for hand in w.claim():
            w.begin(hand, old)
            w.bury(hand, effects=ends.Effects(wrote=old.written()))


def superseded_while_it_waits_it_is_dropped(w: World) -> None:
    """Replayed in time, but newer updates have written all by the time it is asked for."""
    w.told()
    old = update("u1", 5, title="old", idempotency_key="k")
    (hand,) = w.sends(old)
    w.bury(hand)
    w.run(operating.replay("u1", by="me", writes=old.written()))
    (hand,) = w.claim()
    w.put("ZADD", "oppsync:letters:acme:id:5", 1, "u1")
    w.put("HSET", "oppsync:newer:acme:id:5", "title", 9)
    w.begin(hand, old)


def an_earlier_update_that_is_replayed_goes_first(w: World) -> None:
    """Also when the newer one is at a worker already."""
    w.told()
    old, new = update("u1", 5), update("u2", 5, lane="interactive")
    (hand,) = w.sends(old)
    w.bury(hand)
    w.enqueue(new)
    hand = w.take("u2")
    w.run(operating.replay("u1", by="me", writes=old.written()))
    w.passes(7)
    w.begin(hand, new)


def an_entry_of_an_older_version_is_no_conflict(w: World) -> None:
    """Of which nothing is known but that it is there."""
    w.told()
    w.put("HSET", "oppsync:job:c1", "state", "queued")
    w.enqueue(create("c1"))
    w.put("HSET", "oppsync:job:c2", "state", "queued", "kind", "opportunities.create", "instance", "acme")
    w.enqueue(create("c2"))


def what_a_lost_update_may_have_written_is_remembered(w: World) -> None:
    """While an older one may be replayed."""
    w.told()
    old, new = update("u1", 5), update("u2", 5, value="1.00")
    (hand,) = w.sends(old)
    w.bury(hand)
    w.sends(new)
    w.passes(60_000)
    w.restore()
    w.run(operating.replay("u1", by="me", writes=old.written()))


def held_by_nobody_ghosts_are_passed_over(w: World) -> None:
    """In the line of a record whose create is on its way, or that is hurried."""
    w.told(requests=60)
    w.put("ZADD", "oppsync:record:acme:ref:r", 0, "ghost")
    w.put("ZADD", "oppsync:record:acme:id:7", 0.5, "ghost")
    w.enqueue(update("u1", "r", lane="interactive"))
    w.enqueue(update("u2", 7), update("u3", 7, lane="interactive"))
    job = create("c1", external_ref="r")
    w.enqueue(job)
    w.passes(2_000)
    w.promote()
    hand = w.take("c1")
    w.begin(hand, job)
    w.succeed(hand, 9)


def a_strange_message_of_our_own_is_filed_when_it_is_begun(w: World) -> None:
    """Redis was purged in between: all is written now."""
    w.told()
    job = update("u1", 5, idempotency_key="k", lane="interactive")
    other = create("c1", lane="interactive")
    for one in (job, other):
        w.put("LPUSH", "opportunities.interactive", str(enqueuing.enqueue(one).arguments[-1]))
    hands = {hand.job_id: hand for hand in w.claim()}
    w.begin(hands["u1"], job)
    w.bury(hands["c1"], kind="opportunities.create", instance="acme")


def a_foreign_update_keeps_its_place(w: World) -> None:
    """The one it had when it was claimed, however late it is read."""
    w.told()
    first, second = update("u1", 5), update("u2", 5, lane="interactive")
    w.push(first, compression="zlib")
    (hand,) = w.claim()
    w.enqueue(second)
    other = w.take("u2")
    w.begin(hand, first, own=False)
    w.begin(other, second)


def before_its_time_it_is_scheduled(w: World) -> None:
    """With its slot given back; a foreign one with its place in line behind others."""
    w.told(requests=60)
    job = create("c1", not_before=_at(5_000))
    w.enqueue(create("c1"))
    (hand,) = w.claim()
    w.begin(hand, job)
    w.passes(5_000)
    w.promote()
    (hand,) = w.claim()
    w.begin(hand, job)


def a_copy_of_a_sent_job_is_dropped_by_kind(w: World) -> None:
    """A message of another application, under the id of a foreign job that was begun, with the same or another body."""
    w.told()
    job = create("x1")
    w.push(job, compression="zlib")
    (hand,) = w.claim()
    w.begin(hand, job, own=False)
    for title in ("T", "other"):
        w.push(create("x1", title=title), compression="zlib")
        (copy,) = w.claim()
        w.begin(copy, create("x1", title=title), own=False)


def a_mended_create_is_known_as_it_is_now(w: World) -> None:
    """By its new reference, key and deadline; what it was asked for first stays what it is compared by."""
    w.told()
    given = {"external_ref": "r1", "idempotency_key": "k1", "deadline": _at(900_000)}
    (hand,) = w.sends(create("c1", **given))
    w.bury(hand)
    mended = create("c1", title="M", external_ref="r2", idempotency_key="k2", deadline=_at(800_000))
    message = str(enqueuing.enqueue(mended).arguments[-1])
    w.passes(10)
    w.run(operating.replay("c1", by="me", message=message, deadline=mended.deadline))
    (hand,) = w.claim()
    w.begin(hand, mended)


def _sent_once_and_lost(w: World, job: UpdateOpportunity) -> ends.Hand:
    """Claimed for its second attempt, when the sweep took it for lost; letters are waited for."""
    w.told(after_dead="wait")
    (hand,) = w.sends(job)
    w.run(ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT))
    w.promote()
    (hand,) = w.claim()
    w.run(lose(job.job_id, since=str(w.now)))
    return hand


def what_was_sent_once_stays_first_when_it_is_taken_back(w: World) -> None:
    """Where letters are waited for, it never left its place."""
    job = update("u1", 5)
    hand = _sent_once_and_lost(w, job)
    w.begin(hand, job)
    w.bury(hand)
    w.run(operating.replay("u1", by="me", writes=job.written()))


def a_slot_two_milliseconds_ahead_is_now(w: World) -> None:
    """Three are not."""
    w.told(requests=600)
    for number, ms in ((1, 3), (2, 2)):
        w.enqueue(create(f"c{number}0"), create(f"c{number}1"))
        w.take(f"c{number}0")
        w.passes(101 - ms)
        job = create(f"c{number}1")
        w.begin(w.take(job.job_id), job)
        w.passes(5_000)


def mended_to_go_elsewhere_it_frees_the_line(w: World) -> None:
    """Whoever was blocked behind it goes on."""
    w.told()
    job, other = update("u1", 5), update("u2", 5, title="V")
    (hand,) = w.sends(job)
    w.bury(hand)
    w.enqueue(other)
    hand = w.take("u2")
    mended = update("u1", 6)
    message = str(enqueuing.enqueue(mended).arguments[-1])
    w.run(operating.replay("u1", by="me", message=message, writes=mended.written()))
    w.begin(hand, other)
    w.passes(9)
    w.begin(w.take("u1"), mended)


def a_strangers_copy_with_the_same_words_is_a_strangers(w: World) -> None:
    """It asks for the same, and stands for nothing all the same."""
    w.told()
    job = create("c1")
    w.enqueue(job)
    w.claim()
    w.push(job, compression="zlib")
    (copy,) = w.claim()
    w.begin(copy, job, own=False)


def whoever_an_interactive_update_now_waits_for_is_hurried(w: World) -> None:
    """Its create has succeeded, and the record has older updates."""
    w.told(requests=600)
    job = create("c1", external_ref="r")
    w.enqueue(job, create("c2"), update("u0", 9))
    w.passes(1)
    w.enqueue(update("u1", "r", lane="interactive"))
    hand = w.take("c1")
    w.begin(hand, job)
    w.succeed(hand, 9)


def our_own_message_under_a_taken_id_is_put_aside(w: World) -> None:
    """Of another kind, or another instance."""
    w.told()
    w.enqueue(create("c1"))
    w.claim()
    for other in (create("c1", instance="b"), update("c1", 5)):
        w.put("LPUSH", "opportunities.bulk", encode(other))
        (hand,) = w.claim()
        w.begin(hand, other)


def several_jobs_are_enqueued_in_one_call(w: World) -> None:
    """Each where it waits, in their order; one that stands already, or may not, is answered in its place."""
    w.told(requests=60)
    jobs = [
        create("c1", idempotency_key="k", external_ref="r"),
        update("u1", "r", lane="interactive"),
        create("c1"),
        create("c2", idempotency_key="k", external_ref="r"),
        create("c3", lane="interactive", deadline=_at(9_000)),
        update("u2", 5),
        create("c4", not_before=_at(5_000)),
    ]
    (call,) = enqueuing.enqueue_in_order(jobs)
    w.run(call)
    w.run(call)


def a_key_of_a_job_that_is_gone_is_free(w: World) -> None:
    """Nobody is the twin of what is not there; an entry of which nothing is known stands all the same."""
    w.told()
    w.put("SET", "oppsync:idem:acme:k", "gone")
    w.push(create("c1", idempotency_key="k"), compression="zlib")
    (hand,) = w.claim()
    w.begin(hand, create("c1", idempotency_key="k"), own=False)
    w.put("SET", "oppsync:idem:acme:j", "old")
    w.put("HSET", "oppsync:job:old", "state", "queued")
    w.enqueue(create("c2", idempotency_key="j"))


def updates_wait_for_the_job_that_its_twin_stands_for(w: World) -> None:
    """If that one is unfinished, and makes the same record: it is hurried for them."""
    w.told(requests=600)
    w.enqueue(create("c0"), create("c1", external_ref="r", idempotency_key="k"))
    w.passes(1)
    w.enqueue(create("c3", external_ref="r"), update("u1", "r", lane="interactive"))
    for job_id in ("c2", "c4"):
        twin = create(job_id, external_ref="r", idempotency_key="k")
        w.push(twin, compression="zlib")
        w.begin(w.take(job_id), twin, own=False)
        if job_id == "c2":
            w.passes(1_000)
            w.promote()
            hand = w.take("c1")
            w.begin(hand, w.jobs["c1"])
            w.succeed(hand, 9)
            w.put("HSET", "oppsync:making:acme", "r", "c3")
    w.put("HDEL", "oppsync:job:c3", "digest")
    w.put("SET", "oppsync:idem:acme:k", "c3")
    twin = create("c5", external_ref="s", idempotency_key="k")
    w.push(twin, compression="zlib")
    w.begin(w.take("c5"), twin, own=False)


def an_interactive_update_that_is_read_late_hurries_all_the_same(w: World) -> None:
    """Its create, and with its instance on hold the updates before it."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1", external_ref="r"), update("u1", 5))
    for job in (update("x1", "r", lane="interactive"), update("x2", 5, lane="interactive")):
        w.push(job, compression="zlib")
        hand = w.take(job.job_id)
        w.begin(hand, job, own=False)
        w.run(operating.hold("acme", cause="asked", note=""))


def what_was_sent_once_stays_first_while_it_is_held(w: World) -> None:
    """Taken back from the sweep, with its instance on hold."""
    job = update("u1", 5)
    hand = _sent_once_and_lost(w, job)
    w.run(operating.hold("acme", cause="asked", note=""))
    w.begin(hand, job)


def an_update_whose_entry_was_damaged_is_sent(w: World) -> None:
    """Nobody knows any more in which line it stood."""
    w.told()
    job = update("u1", 5)
    (hand,) = w.sends(job)
    w.put("DEL", f"oppsync:claim:{hand.tag}")
    w.put("HDEL", "oppsync:job:u1", "record", "number")
    w.put("RPUSH", "opportunities.bulk", encode(job))
    (hand,) = w.claim()
    w.begin(hand, job)


def a_twin_that_is_an_update_makes_no_record(w: World) -> None:
    """Nobody waits for it as for a create."""
    w.told()
    first, twin = (update(job_id, "r", idempotency_key="k") for job_id in ("u1", "u2"))
    w.enqueue(first)
    w.push(twin, compression="zlib")
    w.begin(w.take("u2"), twin, own=False)


def on_hold_an_interactive_update_hurries_those_before_it(w: World) -> None:
    """They will follow before others when the hold is lifted."""
    w.told()
    w.run(operating.hold("acme", cause="asked", note=""))
    w.enqueue(create("c1"), update("u1", 5), update("u2", 5, lane="interactive"))
