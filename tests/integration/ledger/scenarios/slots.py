"""Budgets: slots, places in flight, pauses, the breaker."""

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.ledger import claims, ends, operating, presence
from oppsync_worker.ledger.ends import Effects


def _end(w: World, hand: ends.Hand, *, answers: bool) -> None:
    if answers:
        w.succeed(hand, effects=Effects(answers=True))
    else:
        w.run(ends.doubt(hand, attempt=ATTEMPT, effects=Effects(answers=False)))


def slots_are_evenly_spaced(w: World) -> None:
    """One percent farther apart than the window allows; handed out at most a quarter of a second ahead."""
    w.told(requests=600)
    w.enqueue(*(create(f"c{n}") for n in range(6)))
    w.passes(60)
    w.promote()
    w.passes(200)
    w.promote(most=1)
    w.promote(most=2)


def each_line_gets_its_share_of_a_round(w: World) -> None:
    """So that none takes it all."""
    for instance in ("a", "b"):
        w.told(instance, concurrency=1)
        w.enqueue(*(create(f"{instance}{n}", instance=instance) for n in range(5)))
    for hand in w.claim():
        w.run(claims.release(hand.tag))
    for instance in ("a", "b"):
        w.told(instance)
        w.put("ZADD", "oppsync:slots", w.now, instance)
    w.promote(most=3)


def no_more_than_its_cap_are_in_flight(w: World) -> None:
    """Whoever ends makes room; places of which nothing was heard are given up when they are wanted."""
    w.told(concurrency=2)
    first, _ = w.sends(*(create(f"c{n}") for n in range(5)))
    w.succeed(first)
    w.passes(250)
    w.promote()
    w.passes(60_000)
    w.promote()
    w.promote()


def all_workers_hands_are_shared(w: World) -> None:
    """Four fifths for one alone; one call each always; a few more while others hang."""
    w.run(presence.present("a", hands=10))
    w.told("a")
    w.told("b")
    w.enqueue(*(create(f"a{n}", instance="a") for n in range(10)))
    w.enqueue(*(create(f"b{n}", instance="b") for n in range(3)))
    w.passes(60_001)
    w.enqueue(create("b9", instance="b"))
    w.put("DEL", "oppsync:capacity")
    w.passes(500)
    w.promote()


def a_few_beyond_what_was_announced(w: World) -> None:
    """While the calls of others hang: below eight of its own, and twice the hands of all."""
    w.run(presence.present("a", hands=10))
    for till in range(19):
        w.put("ZADD", "oppsync:calls", w.now + 99_999, f"x{till}")
    w.told()
    w.enqueue(create("c1"), create("c2"), create("c3"))
    w.put("ZREM", "oppsync:calls", *(f"x{n}" for n in range(9)))
    w.passes(300)
    w.promote()
    w.enqueue(*(create(f"d{n}") for n in range(8)))
    w.passes(300)
    w.promote()


def ends_hand_places_on(w: World) -> None:
    """One at a time; eight at a time where very many are in flight."""
    w.told(concurrency=106)
    for number in range(103):
        w.put("ZADD", "oppsync:inflight:acme", w.now + 50_000, f"x{number}")
    w.enqueue(*(create(f"c{n}") for n in range(15)))
    for hand in w.claim():
        w.bury(hand, attempt=None)
    for number in range(5):
        w.put("ZREM", "oppsync:inflight:acme", f"x{number}")
    for hand in w.claim():
        w.bury(hand, attempt=None)


def a_pause_for_want_of_a_hand_ends_with_it(w: World) -> None:
    """When nobody waits any more."""
    w.told(concurrency=1)
    (hand,) = w.sends(create("c1"))
    w.enqueue(create("c2"))
    w.put("ZREM", "oppsync:waiting:acme", "c2")
    w.put("HSET", "oppsync:job:c2", "state", "discarded")
    w.succeed(hand)
    w.enqueue(create("c3"))


def a_slot_that_nobody_used_is_the_next_one(w: World) -> None:
    """Unless one was handed out after it."""
    w.told(requests=60)
    w.told("b", requests=60)
    w.enqueue(create("c1"), create("b1", instance="b"), create("b2", instance="b"))
    w.passes(900)
    w.promote()
    hands = {hand.job_id: hand for hand in w.claim()}
    w.bury(hands["c1"], attempt=None)
    w.bury(hands["b1"], attempt=None)


def a_slot_that_is_past_is_void(w: World) -> None:
    """Half a second with a budget, five without."""
    for instance, requests, late in (("a", 60, 500), ("b", 60, 501), ("c", 0, 5_000), ("d", 0, 5_001), ("e", 1, 501)):
        w.told(instance, requests=requests)
        job = create(f"{instance}1", instance=instance)
        w.enqueue(job)
        (hand,) = w.claim()
        w.passes(late)
        w.begin(hand, job)


def a_clock_that_is_set_back_stops_nobody(w: World) -> None:
    """Neither for the slots, nor for the requests that were counted."""
    w.told(requests=2, window_ms=2_000)
    w.passes(1_000_000)
    w.sends(create("c1"))
    w.passes(1_500)
    w.sends(create("c2"))
    w.passes(-1_000_000)
    w.enqueue(create("c3"))
    for hand in w.claim():
        w.begin(hand, create(hand.job_id))
    w.passes(2_051)
    w.promote()
    for hand in w.claim():
        w.begin(hand, create(hand.job_id))


def a_paced_instance_may_be_slower_than_its_window(w: World) -> None:
    """Half the pace after a throttle, climbing back within two windows."""
    w.told(requests=1, window_ms=1_000)
    (hand,) = w.sends(create("c0"))
    w.run(ends.wait(hand, cool_down_ms=100, limit=None, attempt=ATTEMPT))
    w.enqueue(*(create(f"c{n}") for n in range(1, 6)))
    for ms in (100, 900, 500, 600, 900, 1_000):
        w.passes(ms)
        w.promote()


def the_breaker_opens_and_one_call_tries(w: World) -> None:
    """The pause doubles up to its bound; a success closes it, and the others go on."""
    w.told(breaker_failures=2, open_ms=1_000, max_open_ms=3_000, probe_ms=-1)
    hands = w.sends(*(create(f"c{n}") for n in range(4)))
    for hand in hands[:3]:
        _end(w, hand, answers=False)
    w.enqueue(create("d1"), create("d2"), create("d3"), create("d4"), create("d5"))
    for wait in (1_000, 2_000, 3_000):
        w.passes(wait - 1)
        w.promote()
        w.passes(1)
        w.promote()
        (hand,) = w.claim()
        w.begin(hand, create(hand.job_id))
        w.promote()
        _end(w, hand, answers=wait == 3_000)
    w.promote()
    _end(w, hands[3], answers=True)


def a_breaker_may_be_off(w: World) -> None:
    """Then failures are not counted; without settings it is five in a row."""
    w.told("off", breaker_failures=0)
    w.told("usual")
    for instance in ("off", "usual"):
        hands = w.sends(*(create(f"{instance}{n}", instance=instance) for n in range(6)))
        for hand in hands:
            _end(w, hand, answers=False)


def a_trial_that_is_lost_gives_way(w: World) -> None:
    """When its call must be over; and whoever is handed back is no trial any more."""
    w.told(breaker_failures=1, open_ms=1_000, probe_ms=-1)
    (hand,) = w.sends(create("c1"))
    _end(w, hand, answers=False)
    w.enqueue(create("c2"), create("c3"))
    w.passes(1_000)
    w.promote()
    (hand,) = w.claim()
    w.passes(60_000)
    w.promote()
    w.begin(hand, create("c2"))
    w.promote()
    (hand,) = w.claim()
    w.run(claims.release(hand.tag))


def a_person_ends_a_pause(w: World) -> None:
    """Or only asks what would be ended; what throttles taught is another matter."""
    w.run(operating.resume("acme"))
    w.told(requests=60, breaker_failures=1)
    (hand,) = w.sends(create("c1"))
    w.run(ends.wait(hand, cool_down_ms=20_000, limit=30, attempt=ATTEMPT))
    w.run(operating.resume("acme", dry_run=True))
    w.run(operating.resume("acme"))
    w.promote()
    (hand,) = w.claim()
    w.begin(hand, create("c1"))
    _end(w, hand, answers=False)
    w.put("ZADD", "oppsync:slots", w.now + 1_000, "acme")
    w.run(operating.resume("acme"))
    w.run(operating.forget("acme", dry_run=True))
    w.run(operating.forget("acme"))
    w.run(operating.forget("acme"))


def what_a_throttle_taught_is_believed_for_a_while(w: World) -> None:
    """And down to a floor."""
    for instance, taught in (
        ("a", {"learned": 30}),
        ("b", {"learned": 1, "learned_least": 12}),
        ("c", {"learned": 90}),
        ("d", {"learned": 0}),
    ):
        w.told(instance, requests=60, learned_at=w.now - 1_000, learned_ms=2_000, **taught)
        w.enqueue(create(f"{instance}1", instance=instance))
    w.passes(1_000)
    w.enqueue(create("a2", instance="a"))
    w.promote()


def strangers_in_a_line_are_struck_off(w: World) -> None:
    """A member that is elsewhere keeps nobody waiting."""
    w.told(requests=60)
    w.enqueue(create("c1"), create("c2"))
    w.put("ZADD", "oppsync:waiting:acme", 1, "ghost")
    w.put("ZADD", "oppsync:schedule", 1, "ghost")
    w.put("ZADD", "oppsync:expiring", 1, "ghost")
    w.put("ZADD", "oppsync:probes", 1, "ghost")
    w.put("ZADD", "oppsync:granted", 1, "ghost")
    w.put("ZADD", "oppsync:record:acme:id:5", 0, "ghost")
    w.passes(1_000)
    w.promote(takes=1)
    w.enqueue(update("u1", 5))
    w.passes(1_000)
    w.promote()


def what_is_due_goes_to_where_it_waits(w: World) -> None:
    """In order; held back where that is the place; no more than so many in a round."""
    w.told(requests=60)
    w.enqueue(update("u0", 5))
    later = "2027-01-15T08:00:10+00:00"
    w.enqueue(update("u1", 5, not_before=later), update("u2", "r", not_before=later), create("c1", not_before=later))
    w.enqueue(create("c2", not_before="2027-01-15T08:00:05+00:00"))
    w.promote()
    w.passes(5_000)
    w.run(operating.hold("acme", cause="asked", note=""))
    w.promote()
    w.passes(5_000)
    w.run(operating.unhold("acme"))
    w.promote(most=2)
    w.promote(most=2)


def held_jobs_follow_in_helpings(w: World) -> None:
    """When the hold is lifted and somebody knows the instance."""
    w.told()
    w.run(operating.hold("acme", cause="asked", note=""))
    w.enqueue(create("c1"), create("c2", lane="interactive"), update("u1", 5), update("u2", 5))
    w.put("ZADD", "oppsync:held:acme", 1, "ghost")
    w.put("SADD", "oppsync:releasing", "acme")
    w.promote()
    w.run(operating.hold("acme", cause="asked", note=""))
    w.run(operating.unhold("acme"))
    w.promote(most=2)
    w.promote(most=2)
    w.promote(most=2)
    w.promote(most=2)


def the_next_thing_to_do_is_told(w: World) -> None:
    """In a second at the latest."""
    w.told(requests=60)
    for ms, place in ((900, "schedule"), (800, "slots"), (700, "probes"), (600, "expiring"), (-5, "schedule")):
        w.put("ZADD", f"oppsync:{place}", w.now + ms, "x")
        w.promote()


def a_clock_that_jumps_is_not_believed(w: World) -> None:
    """For an hour deadlines go by the time without the jump; set back it is right again."""
    w.told()
    job = create("c1", not_before="2027-01-15T12:00:00+00:00", deadline="2027-01-15T13:00:00+00:00")
    w.enqueue(job)
    w.promote(seen=(w.now, 0))
    w.passes(6_000)
    w.promote(seen=(w.now - 6_000, 6_000))
    w.passes(6_001)
    w.promote(seen=(w.now - 6_001, 6_001))
    before = w.now
    w.passes(60_000)
    w.promote(seen=(before, 0))
    before = w.now
    w.passes(7_200_000)
    w.promote(seen=(before, 1_000))
    w.promote(seen=(before, 1_000))
    w.passes(20_000)
    w.promote(seen=(w.now - 20_000, 20_000))
    w.passes(3_600_001)
    w.promote(seen=(w.now - 3_600_001, 3_600_001))
    before = w.now
    w.passes(-60_000)
    w.promote(seen=(before, 0))
    w.passes(-60_001)
    w.promote(seen=(w.now + 60_001, 0))


def two_workers_tell_of_one_jump(w: World) -> None:
    """It counts once; another one adds to it."""
    w.told()
    w.promote(seen=(w.now, 0))
    before = w.now
    w.passes(100_000)
    w.promote(seen=(before, 0))
    w.promote(seen=(before, 0))
    before = w.now
    w.passes(100_000)
    w.promote(seen=(before, 0))


def after_a_silence_the_clock_is_believed_by_and_by(w: World) -> None:
    """When somebody has looked twice, and those who were there before had some seconds to tell."""
    w.told()
    w.promote(seen=(w.now, 0))
    w.passes(60_001)
    w.promote()
    w.promote(seen=(w.now, 0))
    w.passes(4_999)
    w.promote(seen=(w.now - 4_999, 4_999))
    w.promote()
    w.passes(1)
    w.promote()
    w.promote(seen=(w.now - 1, 1))


def a_pause_that_is_over_leaves_the_next_slot_alone(w: World) -> None:
    """There is nothing to end."""
    w.told(requests=60)
    w.enqueue(create("c1"))
    w.passes(5_000)
    w.run(operating.resume("acme"))


def a_line_of_an_unknown_instance_is_kept(w: World) -> None:
    """Its ghosts are struck off."""
    w.told(requests=60)
    w.enqueue(create("c1"), create("c2"))
    w.put("HSET", "oppsync:budget:acme", "unknown", 1)
    w.put("ZADD", "oppsync:waiting:acme", 1, "ghost")
    w.passes(1_000)
    w.promote()
    w.enqueue(create("c3"))
    w.promote()


def nothing_is_granted_on_hold(w: World) -> None:
    """The line is not looked at any more."""
    w.told(requests=60)
    w.enqueue(create("c1"), create("c2"))
    w.run(operating.hold("acme", cause="asked", note=""))
    w.passes(1_000)
    w.promote()


def a_slot_is_given_back_to_the_millisecond(w: World) -> None:
    """Or one was handed out after it; a slot farther ahead than a window is of a clock that was set back."""
    for instance, beyond in (
        ("a", 1_010.0),
        ("b", 1_009.98),
        ("c", 1_011.0),
        ("d", 1_011.02),
        ("e", 60_001.0),
        ("f", 60_001.5),
    ):
        w.told(instance, requests=60)
        w.enqueue(create(f"{instance}1", instance=instance))
        (hand,) = w.claim()
        w.put("HSET", f"oppsync:budget:{instance}", "next", f"{w.now + beyond:.3f}")
        w.bury(hand, attempt=None)
        w.enqueue(create(f"{instance}2", instance=instance))
        w.claim()
        w.passes(1)


def a_success_alone_does_not_hurry_the_line(w: World) -> None:
    """Only one that closes the breaker does."""
    w.told(requests=60)
    hands = w.sends(create("c1"))
    w.enqueue(create("c2"))
    w.put("HSET", "oppsync:budget:acme", "failures", 1)
    w.succeed(hands[0], effects=Effects(answers=True))
    w.told("b", concurrency=1)
    (hand,) = w.sends(create("b1", instance="b"))
    w.enqueue(create("b2", instance="b"), create("b3", instance="b"))
    w.put("HSET", "oppsync:budget:b", "failures", 1)
    w.succeed(hand, effects=Effects(answers=True))


def a_slot_is_taken_a_quarter_of_a_second_ahead_at_most(w: World) -> None:
    """To the millisecond."""
    for instance, ahead in (("a", 250.0), ("b", 250.001)):
        w.told(instance, requests=60)
        w.put("HSET", f"oppsync:budget:{instance}", "next", f"{w.now + ahead:.3f}")
        w.enqueue(create(f"{instance}1", instance=instance))


def an_old_call_that_is_answered_ends_a_trial(w: World) -> None:
    """Which another job was about to be."""
    w.told(breaker_failures=1, open_ms=1_000, probe_ms=-1)
    first, second = w.sends(create("c1"), create("c2"))
    _end(w, first, answers=False)
    w.enqueue(create("d1"), create("d2"))
    w.passes(1_000)
    w.promote()
    _end(w, second, answers=True)
    w.promote()


def held_jobs_of_several_instances_follow_one_after_the_other(w: World) -> None:
    """No more in a round than a helping, whoever they are of."""
    for instance in ("a", "b", "c"):
        w.told(instance)
        w.run(operating.hold(instance, cause="asked", note=""))
        w.enqueue(*(create(f"{instance}{n}", instance=instance) for n in range(3)))
        w.run(operating.unhold(instance))
    for most in (1, 4, 4, 4):
        w.promote(most=most)


def what_has_ended_before_it_was_due_joins_no_line(w: World) -> None:
    """However it comes to stand among what is due."""
    w.told()
    w.enqueue(update("u1", 5, not_before="2027-01-15T08:00:05+00:00"))
    w.run(operating.discard("u1", state=ends.State.SCHEDULED, by="me", ttl_s=99))
    w.put("ZADD", "oppsync:schedule", 1, "u1")
    w.promote()


def the_first_thing_to_do_is_told(w: World) -> None:
    """Of many."""
    w.told(requests=60)
    for place in ("schedule", "slots", "probes", "expiring"):
        w.put("ZADD", f"oppsync:{place}", w.now + 400, "x", w.now + 900, "y")
        w.promote()
        w.put("DEL", f"oppsync:{place}")


def without_settings_it_is_forty_five_a_minute(w: World) -> None:
    """Two at a time, each for a minute at most."""
    w.enqueue(create("c1"), create("c2"))
    w.passes(1_347)
    w.promote()
    w.enqueue(create("c3"))
    w.passes(1_347)
    w.promote()
    w.passes(57_500)
    w.promote()


def a_call_may_take_as_long_as_was_told(w: World) -> None:
    """Then its place is given up when it is wanted; so is a trial's."""
    w.told(concurrency=1, call_ms=30_000)
    w.enqueue(create("c1"), create("c2"))
    for ms in (29_999, 1):
        w.passes(ms)
        w.put("ZADD", "oppsync:slots", w.now, "acme")
        w.promote()


def whoever_has_ended_without_leaving_keeps_nobody_behind(w: World) -> None:
    """Nor does one that stands in another line by now."""
    w.told()
    later = "2027-01-15T09:00:00Z"
    w.enqueue(update("u1", 5, not_before=later), update("u2", 6), update("u3", 7))
    w.run(operating.discard("u1", state=ends.State.SCHEDULED, by="me", ttl_s=99))
    w.put("HSET", "oppsync:job:u1", "record", "id:5")
    w.put("ZADD", "oppsync:record:acme:id:5", 0, "u1", 0.5, "u2")
    w.enqueue(update("u4", 5))
    w.put("HSET", "oppsync:job:u3", "instance", "other", "record", "id:5")
    w.put("ZADD", "oppsync:record:acme:id:5", 0.7, "u3")
    w.enqueue(update("u5", 5))
