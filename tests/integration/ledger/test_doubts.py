"""Doubts in the ledger: when they are looked into, by whom, and how they end."""

import json
from typing import Any

import pytest
import redis

from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal, titles
from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import ends, keys, looking, operating
from oppsync_worker.ledger.looking import LookNever, LookNow, LookSoon, Told
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.scripts import Call
from stage import time_passes, told

TOLD = Told(history="{}", effects=ends.Effects(answers=True))
PROBES = f"{keys.PREFIX}probes"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits, which looks into doubts at once."""
    desk = Desk(ledger)
    desk.run(told("acme", probe_ms=0))
    return desk


def doubt(desk: Desk, **given: Any) -> tuple[CreateOpportunity, ends.Hand]:
    """A create whose answer was lost."""
    job = deal(**given)
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    assert desk.state(job) == "in_doubt"
    return job, hand


def adopt(look: Look, *, opportunity_id: int = 9, unmarked: bool = False) -> Call:
    """The record was found."""
    return looking.adopt(look, TOLD, opportunity_id=opportunity_id, result={"x": 1}, unmarked=unmarked, ttl_s=TTL_S)


def test_a_doubt_is_looked_into_after_the_first_time_has_passed(desk: Desk) -> None:
    """Counted from the send, on Redis' clock."""
    desk.run(told("acme", probe_ms=60_000))
    job, _ = doubt(desk)
    assert desk.looks() == ()

    sent_at = float(desk.field(job, "sent_at"))

    assert float(desk.client.zscore(PROBES, job.job_id) or 0) == sent_at + 60_000


def test_a_look_carries_what_must_be_known(desk: Desk) -> None:
    """The message, how long ago, how often; nothing of it is anybody else's meanwhile."""
    job, _ = doubt(desk, title="Deal")

    look = desk.look()

    assert look.job_id == job.job_id
    assert b"Deal" in look.message
    assert (look.attempts, look.replays, look.inquiry, look.instance) == (1, 0, "", "acme")
    assert 0 <= look.sent_ms_ago < 5_000
    assert desk.looks() == ()
    assert desk.leave(look) == LookNow()


def test_adopting_ends_it_as_a_success(desk: Desk) -> None:
    """With a result, and updates that waited for the record go on."""
    job, _ = doubt(desk, external_ref="r")
    waiting = change("r", title="waits")
    desk.enqueue(waiting)
    assert desk.state(waiting) == "blocked"
    look = desk.look()

    assert desk.run(adopt(look)) == b"succeeded"

    assert desk.field(job, "opportunity_id") == "9"
    result = json.loads(desk.client.get(f"celery-task-meta-{job.job_id}") or "{}")
    assert (result["status"], result["result"]) == ("SUCCESS", {"x": 1})
    assert titles(desk.work_off()) == ["waits"]
    assert desk.client.zcard(PROBES) == 0


def test_sending_again_is_another_attempt(desk: Desk) -> None:
    """Nothing of the old inquiry is left."""
    job, _ = doubt(desk)
    desk.run(looking.again(desk.look(), TOLD, inquiry='{"some": "thing"}', delay_ms=0))
    look = desk.look()
    assert look.inquiry == '{"some": "thing"}'

    assert desk.run(looking.resend(look, TOLD, why="absent")) == b"scheduled"

    desk.pass_time()
    _, sent, go = desk.send_next()
    assert (sent, go.attempt) == (job, 2)
    assert desk.field(job, "inquiry") == ""


def test_a_person_is_asked_and_nothing_more_happens(desk: Desk) -> None:
    """Until one looks, adopts, resends or discards."""
    job, _ = doubt(desk)
    desk.run(looking.ask_person(desk.look(), TOLD, inquiry="{}", why="two records"))

    assert desk.looks() == ()
    assert (desk.state(job), desk.field(job, "doubt"), desk.field(job, "detail")) == (
        "in_doubt",
        "person",
        "two records",
    )


def test_a_look_that_is_lost_is_found_again(desk: Desk) -> None:
    """And whoever comes back with it too late changes nothing."""
    _, _ = doubt(desk)
    lost = desk.look()
    desk.pass_time()
    again = desk.look()
    assert again.token != lost.token

    assert desk.leave(lost) == LookNever()
    assert desk.run(looking.resend(lost, TOLD, why="")) == b"lost"
    assert desk.run(adopt(again)) == b"succeeded"


def test_the_owners_own_truth_ends_the_doubt_and_the_look(desk: Desk) -> None:
    """A late answer to the very attempt that is in doubt."""
    job, hand = doubt(desk)
    look = desk.look()

    desk.succeed(hand, job, opportunity_id=7)

    assert desk.field(job, "opportunity_id") == "7"
    assert desk.leave(look) == LookNever()
    assert desk.run(adopt(look)) == b"lost"
    assert desk.field(job, "opportunity_id") == "7"


def test_the_owners_truth_comes_too_late_after_it_was_sent_again(desk: Desk) -> None:
    """It is somebody else's attempt by now."""
    job, hand = doubt(desk)
    desk.run(looking.resend(desk.look(), TOLD, why="absent"))
    desk.pass_time()
    desk.send_next()

    assert ends.ended(desk.run(ends.succeed(hand, opportunity_id=7, result={}))) is None

    assert desk.state(job) == "sending"


def test_a_record_of_another_job_is_not_adopted(desk: Desk) -> None:
    """Only this ledger can tell whose an unmarked record is."""
    first, hand = doubt(desk)
    desk.run(ends.succeed(hand, opportunity_id=9, result={}, marker=ends.Marker(7, lands=None)))
    second, _ = doubt(desk)
    look = desk.look()

    assert desk.run(adopt(look, unmarked=True)) == b"taken"

    assert desk.state(second) == "in_doubt"
    answer = desk.run(operating.adopt(second.job_id, opportunity_id=9, result={}, by="me", ttl_s=60))
    assert operating.adopted(answer) == ("taken", first.job_id)
    answer = desk.run(operating.adopt(second.job_id, opportunity_id=9, result={}, by="me", ttl_s=60, though_taken=True))
    assert operating.adopted(answer) == ("in_doubt", None)


def test_a_worker_lost_while_sending_leaves_a_doubt_that_is_looked_into(desk: Desk) -> None:
    """By whoever is there."""
    job = deal()
    desk.enqueue(job)
    desk.send_next()

    desk.silence()

    assert desk.look().job_id == job.job_id


def test_reconciling_can_be_switched_off(desk: Desk) -> None:
    """Every doubt is a person's then."""
    desk.run(told("acme", probe_ms=-1))
    job, _ = doubt(desk)

    assert desk.looks() == ()
    assert desk.field(job, "doubt") == "person"


class TestBudget:
    """Look-ups are requests like any other."""

    def test_a_look_takes_a_slot(self, desk: Desk) -> None:
        """What is sent after it stands a slot apart."""
        desk.run(told("acme", requests=60, probe_ms=0))
        doubt(desk)
        desk.client.hset(keys.budget("acme"), "next", 0)
        look = desk.look()
        assert desk.leave(look) == LookNow()
        job = deal()
        desk.enqueue(job)

        assert desk.state(job) == "waiting"

    def test_a_look_is_counted_in_the_window(self, desk: Desk) -> None:
        """One too many is not begun."""
        doubt(desk)
        desk.run(told("acme", requests=2, probe_ms=0))
        for _ in range(2):
            desk.client.rpush(f"{keys.PREFIX}sent:acme", int(desk.client.time()[0] * 1000))
        look = desk.look()

        assert desk.leave(look) == LookNever()

        assert desk.client.llen(f"{keys.PREFIX}sent:acme") == 2
        # On a machine that stood still it was too late for its slot, and may have the next one already.
        wanted = desk.client.zcard(f"{keys.PREFIX}looking:acme") + desk.client.zcard(f"{keys.PREFIX}granted")
        assert wanted == 1

    def test_looks_and_jobs_take_turns(self, desk: Desk) -> None:
        """A hundred doubts do not keep jobs from being sent, nor the other way round."""
        desk.run(told("acme", probe_ms=10_000_000))
        for _ in range(6):
            doubt(desk)
        desk.run(told("acme", requests=60, probe_ms=10_000_000))
        desk.enqueue(*[deal() for _ in range(6)])
        desk.client.hset(keys.budget("acme"), "next", f"{(desk.now_s() + 50) * 1000}")
        for taken in desk.claim():
            desk.begin(*taken)
        for member in desk.client.zrange(PROBES, 0, -1):
            desk.client.zadd(PROBES, {member: 1})
        desk.looks(takes=0)

        order = []
        while len(order) < 8:
            desk.client.hset(keys.budget("acme"), "next", 0)
            desk.client.zadd(keys.SLOTS, {"acme": 1})
            order += ["look"] * len(desk.looks()) + ["job"] * len(desk.claim())

        assert order.count("look") == 4

    def test_no_look_during_a_cool_down(self, desk: Desk) -> None:
        """Nor one that was granted before it."""
        doubt(desk)
        look = desk.look()
        other = deal()
        desk.enqueue(other)
        hand, _, _ = desk.send_next()
        desk.run(ends.wait(hand, cool_down_ms=60_000, limit=None, attempt=ATTEMPT))

        assert desk.leave(look) == LookNever()
        assert desk.looks() == ()

    def test_no_look_while_the_instance_is_on_hold(self, desk: Desk) -> None:
        """It goes on when the hold is lifted."""
        doubt(desk)
        look = desk.look()
        desk.run(operating.hold("acme", cause="operator", note=""))
        assert desk.leave(look) == LookNever()
        assert desk.looks() == ()

        desk.run(operating.unhold("acme"))

        assert desk.leave(desk.look()) == LookNow()

    def test_a_look_keeps_its_place_in_flight_until_it_is_over(self, desk: Desk) -> None:
        """The cap on calls in flight counts it."""
        desk.run(told("acme", concurrency=1, probe_ms=0))
        doubt(desk)
        look = desk.look()
        job = deal()
        desk.enqueue(job)
        assert desk.state(job) == "waiting"

        desk.run(looking.again(look, TOLD, inquiry="{}", delay_ms=60_000))

        assert len(desk.claim()) == 1

    def test_a_slot_ahead_is_waited_for(self, desk: Desk) -> None:
        """As jobs do."""
        desk.run(told("acme", requests=600, probe_ms=0))
        doubt(desk)
        desk.client.hset(keys.budget("acme"), "next", f"{desk.now_s() * 1000 + 200}")
        look = desk.look()

        answer = desk.leave(look)

        assert isinstance(answer, LookSoon)
        assert 0 < answer.delay_ms <= 250


def test_a_look_up_that_takes_its_worker_down_each_time_is_given_up(desk: Desk) -> None:
    """A person is asked: it would take down one worker after the other."""
    job, _ = doubt(desk)

    for _ in range(10):
        look = desk.look()
        assert desk.leave(look) == LookNow()
        desk.pass_time()

    assert desk.looks() == ()
    assert (desk.state(job), desk.field(job, "doubt")) == ("in_doubt", "person")
    assert desk.client.zscore(PROBES, job.job_id) is None
    late = looking.again(look, TOLD, inquiry="{}", delay_ms=0)
    assert desk.run(late) == b"lost", "an answer that comes after all does not take it from the person"
    assert desk.client.zscore(PROBES, job.job_id) is None


def test_a_look_up_that_is_overtaken_by_a_person_keeps_nobody_waiting(desk: Desk) -> None:
    """Its place in flight is free as soon as it hears of it."""
    desk.run(told("acme", probe_ms=0, concurrency=1))
    job, _ = doubt(desk)
    look = desk.look()
    desk.run(operating.discard(job.job_id, state=State.IN_DOUBT, by="me", ttl_s=TTL_S))

    assert desk.leave(look) == LookNever()

    assert desk.client.zcard(f"{keys.PREFIX}inflight:acme") == 0


def test_of_two_people_who_have_a_doubt_sent_again_one_does(desk: Desk) -> None:
    """By the time of the second it is another doubt, and nobody has looked for what the first one has made."""
    job, _ = doubt(desk)
    desk.run(looking.ask_person(desk.look(), TOLD, inquiry="{}", why="words"))
    seen = operating.resend(job.job_id, by="two", seen=(1, 0), is_a_persons=True)
    assert (
        operating.word(desk.run(operating.resend(job.job_id, by="one", seen=(1, 0), is_a_persons=True))) == "in_doubt"
    )

    assert operating.word(desk.run(seen)) == "scheduled"
    desk.run(time_passes())
    hand, _, _ = desk.send_next()
    assert operating.word(desk.run(seen)) == "sending"
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    assert operating.word(desk.run(seen)) == "changed"
    assert desk.state(job) == "in_doubt"


def test_a_doubt_that_workers_look_into_again_is_not_sent_again_by_who_saw_it_waiting_for_a_person(desk: Desk) -> None:
    """Somebody else has just asked them to."""
    job, _ = doubt(desk)
    desk.run(looking.ask_person(desk.look(), TOLD, inquiry="{}", why="words"))
    desk.run(operating.inquire(job.job_id, by="one"))

    seen = operating.resend(job.job_id, by="two", seen=(1, 0), is_a_persons=True)
    assert operating.word(desk.run(seen)) == "changed"
    assert operating.word(desk.run(operating.resend(job.job_id, by="two", seen=(1, 0)))) == "in_doubt"


def test_a_look_up_that_comes_back_after_it_was_given_up_on_keeps_its_successors_place(desk: Desk) -> None:
    """Its own place is free, and not that of who looks by now: the instance's cap on calls holds."""
    doubt(desk)
    lost = desk.look()
    desk.pass_time()
    again = desk.look()
    assert desk.leave(again) == LookNow()

    assert desk.leave(lost) == LookNever()
    assert desk.run(looking.resend(lost, TOLD, why="")) == b"lost"

    assert places(desk) == [f"look/{again.token}/{again.job_id}"]
    desk.run(adopt(again))
    assert places(desk) == []


def test_a_job_whose_id_reads_like_the_place_of_a_look_up_keeps_its_own(desk: Desk) -> None:
    """Another application has chosen the id."""
    job, _ = doubt(desk)
    look = desk.look()
    desk.push(deal(job_id=f"look:{job.job_id}"))
    desk.send_next()

    desk.run(adopt(look))

    assert places(desk) == [f"look:{job.job_id}"]


def test_a_look_up_that_got_its_slot_from_the_version_before_gives_its_place_back(desk: Desk) -> None:
    """There it had no token, and its place another name; so had the trial of an open breaker."""
    job, _ = doubt(desk)
    desk.looks(takes=0)
    (place,) = places(desk)
    till = desk.client.zscore("oppsync:calls", place)
    assert till
    for key in ("oppsync:calls", "oppsync:inflight:acme"):
        desk.client.zrem(key, place)
        desk.client.zadd(key, {f"look:{job.job_id}": till})
    desk.client.hdel(keys.job(job.job_id), "look_token")
    desk.client.hset(keys.budget("acme"), mapping={"trips": 1, "trial": f"look:{job.job_id}", "trial_until": int(till)})

    look = desk.look()
    assert desk.leave(look) == LookNow()
    assert places(desk) == [f"look/{look.token}/{job.job_id}"]
    desk.run(adopt(look))

    assert places(desk) == []
    assert desk.client.hget(keys.budget("acme"), "trial") is None


def places(desk: Desk) -> list[str]:
    """Whose calls count as in flight; for the instance as for all together."""
    own = desk.client.zrange("oppsync:inflight:acme", 0, -1)
    assert own == desk.client.zrange("oppsync:calls", 0, -1)
    return [member.decode() for member in own]


def test_what_a_person_says_of_a_doubt_is_not_said_of_the_next_one(desk: Desk) -> None:
    """It was sent again meanwhile: the record that they have found is the first one's, and there may be a second."""
    job, _ = doubt(desk)
    seen = int(desk.field(job, "since"))
    desk.run(operating.resend(job.job_id, by="one"))
    desk.run(time_passes())
    hand, _, _ = desk.send_next()
    desk.a_moment_passes()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))

    adopting = operating.adopt(job.job_id, opportunity_id=9, result={}, by="two", ttl_s=60, seen=seen)
    assert operating.adopted(desk.run(adopting)) == ("changed", None)
    assert operating.word(desk.run(drop(job, seen=seen))) == "changed"
    assert desk.state(job) == "in_doubt"

    now = int(desk.field(job, "since"))
    assert operating.word(desk.run(drop(job, seen=now, is_a_persons=True))) == "changed"
    assert operating.word(desk.run(drop(job, seen=now))) == "in_doubt"


def test_a_letter_that_died_once_more_is_another_letter(desk: Desk) -> None:
    """Somebody else has had it mended and sent again: who saw the first one neither drops nor replays it."""
    job = deal()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.bury(hand)
    seen = int(desk.field(job, "since"))
    desk.replay(job)
    hand, _, _ = desk.send_next()
    desk.a_moment_passes()
    desk.bury(hand)

    assert operating.word(desk.run(drop(job, state=State.DEAD, seen=seen))) == "changed"
    assert operating.word(desk.run(operating.replay(job.job_id, by="me", seen=seen))) == "changed"
    assert (desk.state(job), desk.field(job, "replays")) == ("dead", "1")

    now = int(desk.field(job, "since"))
    assert operating.word(desk.run(operating.replay(job.job_id, by="me", seen=now))) == "dead"


def drop(job: CreateOpportunity, *, state: State = State.IN_DOUBT, **seen: Any) -> Call:
    """A person drops what they have seen."""
    return operating.discard(job.job_id, state=state, by="me", ttl_s=60, **seen)
