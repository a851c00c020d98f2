"""Creates of which nobody knows whether they were carried out."""

from typing import Any

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.ledger import ends, looking, operating
from oppsync_worker.ledger.ends import Effects
from oppsync_worker.ledger.looking import Told
from oppsync_worker.ledger.promoting import Look, promoted
from oppsync_worker.ledger.scripts import Call

_NOTHING = Told("{}", Effects())


def _doubt(w: World, *job_ids: str, **given: Any) -> None:
    for hand in w.sends(*(create(job_id, **given) for job_id in job_ids)):
        w.run(ends.doubt(hand, attempt=ATTEMPT))


def _look(w: World, *, leave: bool = True) -> Look:
    (look,) = promoted(w.promote(takes=1)).looks
    if leave:
        w.run(looking.may_look(look, horizon_ms=250))
    return look


def a_doubt_is_looked_into_and_ends(w: World) -> None:
    """When its time has come and it has a slot: found, it is adopted, and its updates go on."""
    w.told(requests=600, probe_ms=5_000)
    w.enqueue(update("u1", "r"))
    _doubt(w, "c1", external_ref="r")
    w.promote(takes=1)
    w.passes(4_999)
    w.promote(takes=1)
    w.passes(1)
    w.promote()
    look = _look(w)
    w.run(looking.adopt(look, Told("{}", Effects(answers=True)), opportunity_id=5, result={}, unmarked=True, ttl_s=100))
    w.run(looking.adopt(look, _NOTHING, opportunity_id=5, result={}, unmarked=True, ttl_s=100))


def it_is_looked_for_again_and_again(w: World) -> None:
    """After a pause; then a person decides."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    look = _look(w)
    w.run(looking.again(look, Told('{"a":1}', Effects(answers=True), sightings="[]"), inquiry="{}", delay_ms=2_000))
    w.run(looking.again(look, Told('{"a":1}', Effects(answers=False)), inquiry="{}", delay_ms=2_000))
    w.passes(2_000)
    look = _look(w)
    w.put("ZADD", "oppsync:looking:acme", 1, "c1")
    w.run(looking.ask_person(look, _NOTHING, inquiry="{}", why="words"))
    w.run(operating.inquire("c1", by="me"))
    w.run(operating.inquire("c2", by="me"))
    look = _look(w)
    w.run(looking.adopt(look, _NOTHING, opportunity_id=5, result={}, unmarked=False, ttl_s=100))
    w.run(operating.inquire("c1", by="me"))


def proved_absent_it_goes_again(w: World) -> None:
    """The second time behind all others; used up it is dead."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    for number in range(4):
        look = _look(w)
        if number == 3:
            w.run(looking.bury(look, Told("{}", Effects(), cool_down_ms=500, limit=100), detail="words"))
            break
        w.run(looking.resend(look, _NOTHING, why="words"))
        w.passes(10)
        w.promote()
        (hand,) = w.claim()
        w.begin(hand, create("c1"), marker_field="f" if number else None)
        w.run(ends.doubt(hand, attempt=ATTEMPT))


def another_jobs_record_is_not_adopted(w: World) -> None:
    """The look-up is told so, and the doubt stands."""
    w.told(probe_ms=0)
    w.put("SET", "oppsync:made:acme:5", "c9")
    w.put("SET", "oppsync:made:acme:6", "c1")
    _doubt(w, "c1")
    look = _look(w)
    for opportunity_id in (5, 6):
        w.run(looking.adopt(look, _NOTHING, opportunity_id=opportunity_id, result={}, unmarked=False, ttl_s=100))


def nobody_looks_where_a_person_decides(w: World) -> None:
    """An instance that has no reconciling."""
    w.told(probe_ms=-1)
    _doubt(w, "c1")
    w.passes(60_000)
    w.promote(takes=1)


def without_settings_it_is_five_seconds(w: World) -> None:
    """Counted from the sending."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.passes(3_000)
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.run(operating.discard("c1", state=ends.State.IN_DOUBT, by="me", ttl_s=9))
    (hand,) = w.sends(create("c2"))
    w.passes(7_000)
    w.run(ends.doubt(hand, attempt=ATTEMPT))


def look_ups_and_jobs_take_turns(w: World) -> None:
    """So many jobs go between two look-ups."""
    w.told(requests=600, probe_ms=0, look_gap=2)
    for job_id in ("c1", "c2", "c3"):
        _doubt(w, job_id)
        w.passes(200)
    w.enqueue(*(create(f"d{n}") for n in range(8)))
    for _ in range(10):
        w.passes(110)
        w.promote()
    w.promote(takes=5)


def a_look_up_that_is_gone_gives_its_place_back(w: World) -> None:
    """Ended meanwhile, before it had a slot, after, or while somebody looks."""
    w.told(probe_ms=0, concurrency=2)
    _doubt(w, "c1", "c2")
    w.promote()
    w.run(operating.adopt("c1", opportunity_id=5, result={}, by="me", ttl_s=9))
    w.promote(takes=1)
    look = _look(w, leave=False)
    w.put("ZADD", "oppsync:looking:acme", 1, "c1")
    w.put("ZADD", "oppsync:slots", 1, "acme")
    w.promote(takes=1)
    w.run(operating.adopt("c2", opportunity_id=6, result={}, by="me", ttl_s=9))
    w.run(looking.may_look(look, horizon_ms=250))
    w.run(looking.again(look, Told("{}", Effects(), cool_down_ms=400), inquiry="{}", delay_ms=5))


def a_look_up_waits_for_its_slot(w: World) -> None:
    """Soon, later, or not on hold; whoever has another token is lost."""
    w.told(requests=600, probe_ms=0)
    _doubt(w, "c1")
    w.promote()
    look = _look(w)
    w.passes(look.slot_ms - 2)
    w.run(looking.may_look(look, horizon_ms=250))
    w.passes(600)
    w.run(looking.may_look(look, horizon_ms=250))
    w.passes(200)
    look = _look(w, leave=False)
    w.run(operating.hold("acme", cause="asked", note=""))
    w.run(looking.may_look(look, horizon_ms=250))
    w.promote(takes=1)
    w.run(operating.unhold("acme"))
    again = _look(w, leave=False)
    w.run(looking.may_look(look, horizon_ms=250))
    w.run(looking.may_look(again, horizon_ms=250))
    w.run(looking.may_look(again, horizon_ms=250))


def a_full_window_delays_a_look_up(w: World) -> None:
    """Shortly, or until it has another slot."""
    w.told(requests=2, window_ms=1_000, probe_ms=0)
    _doubt(w, "c1")
    for ms in (100, 700, 300, 900):
        w.put("HSET", "oppsync:budget:acme", "next", 0)
        w.put("RPUSH", "oppsync:sent:acme", w.now)
        w.passes(ms)
        w.put("HSET", "oppsync:budget:acme", "next", 0)
        for look in promoted(w.promote(takes=1)).looks:
            w.run(looking.may_look(look, horizon_ms=250))
            w.passes(3)
            w.run(looking.may_look(look, horizon_ms=250))


def look_ups_that_are_never_heard_of_end(w: World) -> None:
    """After ten in a row a person decides: it may be what takes its workers down."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    for _ in range(9):
        _look(w)
        w.passes(60_000)
    w.put("HINCRBY", "oppsync:job:c1", "unheard", 0)
    _look(w)
    w.passes(60_000)
    w.promote(takes=1)


def a_look_up_tries_an_instance_that_fails(w: World) -> None:
    """That it is answered says nothing of jobs that fail."""
    w.told(probe_ms=0, breaker_failures=2, open_ms=1_000)
    first, second = w.sends(create("c1"), create("c2"))
    w.run(ends.doubt(first, attempt=ATTEMPT, effects=Effects(answers=False)))
    look = _look(w)
    w.run(looking.again(look, Told("{}", Effects(answers=True)), inquiry="{}", delay_ms=0))
    look = _look(w)
    w.run(looking.again(look, Told("{}", Effects(answers=False)), inquiry="{}", delay_ms=0))
    w.passes(1_000)
    look = _look(w)
    w.run(looking.again(look, Told("{}", Effects(answers=True)), inquiry="{}", delay_ms=0))
    w.run(ends.doubt(second, attempt=ATTEMPT, effects=Effects(answers=True)))


def the_marker_is_known_to_land_or_not(w: World) -> None:
    """By funnel; whoever looks is told, and in which field it was sent."""
    w.told(probe_ms=0)
    for job_id, lands in (("c1", True), ("c2", False), ("c3", None)):
        (hand,) = w.sends(create(job_id))
        w.succeed(hand, 5, marker=ends.Marker(7, lands=lands))
    job = create("c4")
    w.enqueue(job)
    (hand,) = w.claim()
    w.begin(hand, job, marker_field="f")
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    _look(w)


def a_look_up_that_nobody_took_keeps_its_slot(w: World) -> None:
    """When it is due again meanwhile."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    w.promote()
    w.passes(60_000)
    w.promote()


def a_look_up_has_its_slot_from_the_version_before(w: World) -> None:
    """Its place had another name there, and no token."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    w.put("ZADD", "oppsync:granted", 1, "c1")
    for place in ("oppsync:calls", "oppsync:inflight:acme"):
        w.put("ZADD", place, 60_000, "look:c1")
    w.put("HSET", "oppsync:budget:acme", "trips", 1, "trial", "look:c1")
    look = _look(w, leave=False)
    w.run(looking.again(look, _NOTHING, inquiry="{}", delay_ms=2_000))


def a_look_up_of_a_job_that_is_gone_changes_nothing(w: World) -> None:
    """Not even its entry is there."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    look = _look(w)
    w.put("DEL", "oppsync:job:c1")
    w.run(looking.may_look(look, horizon_ms=250))
    w.run(looking.again(look, Told("{}", Effects(answers=True), cool_down_ms=5), inquiry="{}", delay_ms=5))


def a_look_up_that_somebody_else_took_over_is_lost(w: World) -> None:
    """Its answer comes too late, and counts for how the instance does all the same."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    first = _look(w)
    w.passes(60_000)
    second = _look(w)
    w.run(looking.may_look(first, horizon_ms=250))
    w.enqueue(create("c2"))
    w.run(looking.again(first, Told("{}", Effects(answers=False), sightings="[1]"), inquiry="{}", delay_ms=5))
    for sightings in ("[1]", "[2]"):
        w.run(looking.again(second, Told("{}", Effects(), sightings=sightings), inquiry="{}", delay_ms=0))
        second = _look(w)
    w.run(looking.ask_person(second, _NOTHING, inquiry="{}", why="words"))


def a_look_up_keeps_its_place_among_others(w: World) -> None:
    """Since when it wants a slot, however often it is due meanwhile."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    w.run(operating.hold("acme", cause="asked", note=""))
    w.promote()
    w.passes(60_000)
    w.promote()


def a_look_up_that_ends_early_makes_room_for_the_next(w: World) -> None:
    """Given up after ten of which nothing was heard, or decided by a person meanwhile."""
    w.told(probe_ms=0, concurrency=1)
    _doubt(w, "c1")
    w.put("HSET", "oppsync:job:c1", "unheard", 10)
    w.promote()
    w.enqueue(create("d1"))
    w.promote(takes=1)
    (hand,) = w.claim()
    w.begin(hand, create("d1"))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.promote()
    w.enqueue(create("d2"))
    w.run(operating.adopt("d1", opportunity_id=5, result={}, by="me", ttl_s=9))
    w.promote(takes=1)


def a_look_up_that_is_lost_makes_room_for_the_next(w: World) -> None:
    """When it asks, when it tells, and when the record is another job's."""
    w.told(probe_ms=0, concurrency=1)
    w.put("SET", "oppsync:made:acme:5", "c9")
    for number in range(3):
        _doubt(w, f"c{number}")
        look = _look(w, leave=False)
        w.enqueue(create(f"d{number}"))
        if number < 2:
            w.run(operating.adopt(f"c{number}", opportunity_id=number + 6, result={}, by="me", ttl_s=9))
        if number == 0:
            w.run(looking.may_look(look, horizon_ms=250))
        else:
            w.run(looking.adopt(look, _NOTHING, opportunity_id=5, result={}, unmarked=False, ttl_s=100))
        (hand,) = w.claim()
        w.begin(hand, create(f"d{number}"))
        w.succeed(hand)


def a_look_up_may_leave_no_line_in_the_history(w: World) -> None:
    """Then there is none."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    look = _look(w)
    w.run(Call("looked", ("c1", look.token, "in_doubt", 9, "inquiry", "{}", "delay", 5)))


def a_look_up_three_milliseconds_early_comes_back(w: World) -> None:
    """Two are none; whoever goes is counted."""
    w.told(requests=600, probe_ms=0)
    _doubt(w, "c1")
    look = _look(w, leave=False)
    assert look.slot_ms > 3
    w.passes(look.slot_ms - 3)
    w.run(looking.may_look(look, horizon_ms=250))
    w.passes(1)
    w.run(looking.may_look(look, horizon_ms=250))


def of_a_doubt_of_an_older_version_less_is_known(w: World) -> None:
    """When it was first sent, or when at all, or how often."""
    w.told(probe_ms=0)
    _doubt(w, "c1")
    for names in (("first_at",), ("sent_at",), ("attempts", "marker_field")):
        w.passes(70_000)
        w.put("HDEL", "oppsync:job:c1", *names)
        _look(w)
