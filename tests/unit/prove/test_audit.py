"""Every promise is checked, and every check can fail."""

from dataclasses import replace

import pytest

from oppsync_ops.prove.audit import CHECKS, audit
from oppsync_ops.prove.evidence import Applied, Evidence, Record, Request, Seen
from oppsync_ops.prove.planned import ASTRAY, FIELD, TITLE, VALUE, Fate, PlannedJob
from oppsync_ops.prove.waits import Phase, Wait, Waiting
from oppsync_worker.contract.states import State
from unit.prove.world import BAD, CREATE, DONE, FIRST, KILLER, RECORD, SECOND, kept, seen

OTHER = replace(RECORD, opportunity_id=101)
IN_DOUBT = Seen(State.IN_DOUBT, "answer_lost", "no answer")
AGAIN = Applied(31.0, {TITLE: 2, FIELD: 2})
BACK = Applied(32.0, {TITLE: 1, VALUE: 1})
LATE = Request(20.5, "alder", "GET", "/x", 200)


def shows(part: str, version: int) -> Record:
    """The record, with one part that it should not show."""
    return replace(RECORD, versions={**RECORD.versions, part: version})


CALM = tuple(Wait(f"c{n}", Phase.CALM, "bulk", n, 0.4) for n in range(20))
CALM_ALONE = Waiting(CALM)
SLOW = Waiting((*CALM, *(Wait(f"b{n}", Phase.BESIDE, "bulk", 100.0 + n, 9.0) for n in range(20))))
LATE_JOB = replace(CREATE, number=7, fate=Fate.LATE)
ALONE = replace(CREATE, number=8, fate=Fate.REFUSED_ALONE)


def died(job: PlannedJob, cause: str = "exhausted") -> dict[str, Seen]:
    """It is a dead letter."""
    return {job.job_id: Seen(State.DEAD, cause)}


PLANTED: dict[str, tuple[str, Evidence]] = {
    "a job that the ledger does not know": ("lost", kept(seen=seen(first=Seen(State.UNKNOWN)))),
    "a job that nobody was asked about": ("lost", kept(seen={})),
    "a create without a record": ("lost", kept(records=())),
    "a create with somebody else's record": ("lost", kept(seen=seen(create=replace(DONE, opportunity_id=9)))),
    "an update without effect": ("lost", kept(records=(replace(RECORD, updates=RECORD.updates[1:]),))),
    "an update that lost one of its parts": (
        "lost",
        kept(records=(replace(RECORD, updates=(Applied(20.0, {TITLE: 1}), RECORD.updates[1])),)),
    ),
    "an update merged into one that failed": (
        "lost",
        kept(seen=seen(first=Seen(State.MERGED, points_to=KILLER.job_id))),
    ),
    "a merged update whose part was not carried along": (
        "lost",
        kept(
            seen=seen(first=Seen(State.MERGED, points_to=SECOND.job_id)),
            records=(replace(RECORD, updates=RECORD.updates[1:]),),
        ),
    ),
    "a create that travelled inside another job": (
        "lost",
        kept(seen=seen(create=Seen(State.MERGED, points_to=SECOND.job_id)), records=()),
    ),
    "a record of a create that is called expired": (
        "lost",
        kept(
            jobs={LATE_JOB.job_id: LATE_JOB},
            seen={LATE_JOB.job_id: Seen(State.EXPIRED)},
            records=(replace(OTHER, made_by=LATE_JOB.job_id),),
        ),
    ),
    "a create carried out twice": ("doubled", kept(records=(RECORD, OTHER))),
    "a record that nobody asked for": ("doubled", kept(records=(RECORD, replace(OTHER, made_by=None)))),
    "a record of a create that was refused": ("doubled", kept(records=(RECORD, replace(OTHER, made_by=BAD.job_id)))),
    "a second welcome message": ("customers told twice", kept(messages=(CREATE.job_id, CREATE.job_id))),
    "an old title": ("wrong final value", kept(records=(shows(TITLE, 1),))),
    "the value of a newer update that has not that part": (
        "wrong final value",
        kept(records=(shows(VALUE, 2),)),
    ),
    "the value of a create after its update": (
        "wrong final value",
        kept(records=(shows(FIELD, 0),)),
    ),
    "what an update that must have no effect writes": (
        "wrong final value",
        kept(records=(shows(TITLE, 3),)),
    ),
    "a part that shows nothing any more": ("wrong final value", kept(records=(shows(FIELD, ASTRAY),))),
    "an update of another record that was overwritten since": (
        "wrong final value",
        kept(records=(replace(RECORD, updates=(replace(RECORD.updates[0], meant_for="alder-r9"), *RECORD.updates)),)),
    ),
    "an older update after a newer one": (
        "wrong order",
        kept(records=(replace(RECORD, updates=(*RECORD.updates, BACK)),)),
    ),
    "one request too many": ("over budget", kept(requests=(*kept().requests, LATE))),
    "a throttle without a fault": ("throttled", kept(requests=(replace(LATE, at=50.0, status=401),))),
    "a throttle by another status": ("throttled", kept(requests=(replace(LATE, at=50.0, status=429),))),
    "a doubt that nobody settled": ("unresolved doubt", kept(seen=seen(create=IN_DOUBT))),
    "an update that still waits": ("stuck", kept(seen=seen(second=Seen(State.WAITING)))),
    "an update behind a create that is done": ("stuck", kept(seen=seen(second=Seen(State.BLOCKED)))),
    "a bad job that is never buried": ("stuck", kept(seen=seen(bad=Seen(State.SCHEDULED)))),
    "a good job that died": ("buried without need", kept(seen=seen(second=Seen(State.DEAD, "exhausted")))),
    "a good job that was dropped": ("buried without need", kept(seen=seen(second=Seen(State.DISCARDED)))),
    "a bad job that succeeded": ("not buried", kept(seen=seen(bad=DONE))),
    "a bad job that died of something else": ("not buried", kept(seen=seen(bad=Seen(State.DEAD, "exhausted")))),
    "a job that kills and is not called poison": ("not buried", kept(seen=seen(killer=Seen(State.DEAD, "rejected")))),
    "an update that was never tried": ("never handed over", kept(withheld=(replace(SECOND, version=4),))),
    "a create that was never tried": ("never handed over", kept(withheld=(replace(CREATE, number=3),))),
    "poison that was never pushed": ("never handed over", kept(kept_back=("poison-1",))),
    "a quiet job that waited for a neighbour": ("waited for a neighbour", kept(waiting=SLOW)),
    "nobody who was beside neighbours": ("waited for a neighbour", kept(waiting=CALM_ALONE)),
    "a good job that waited for another's refusal": (
        "waited for a neighbour",
        kept(held_up={CREATE.job_id: 30.0}, lifted_at=20.0),
    ),
    "a backlog's job that died": ("buried without need", kept(jobs={LATE_JOB.job_id: LATE_JOB}, seen=died(LATE_JOB))),
    "a job refused alone that died of our own fault": (
        "not buried",
        kept(jobs={ALONE.job_id: ALONE}, seen=died(ALONE, "internal")),
    ),
    "poison without a dead letter": ("poison", kept(buried={})),
    "a dead letter of nobody's": ("poison", kept(strangers=("raw-7",))),
    "a job that had to be put right": ("in no place", kept(strays={"lost": 1})),
    "a worker that ended": ("worker exits", kept(exits=("worker-1.2 ended by itself with 1: no Redis",))),
}


def found(evidence: Evidence) -> set[str]:
    """The checks that found something."""
    return {name for name, breaches in audit(evidence).breaches.items() if breaches}


def test_a_world_without_a_breach_has_none() -> None:
    """Or nothing below would prove anything."""
    assert audit(kept()).total == 0
    assert set(audit(kept()).breaches) == set(CHECKS)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_breach_is_found(planted: str) -> None:
    """By the check that is there for it."""
    check, evidence = PLANTED[planted]

    assert check in found(evidence)


def test_every_check_can_fail() -> None:
    """No check is without a breach above."""
    assert {check for check, _ in PLANTED.values()} == set(CHECKS)


def test_a_breach_says_whom_it_concerns() -> None:
    """And what was expected."""
    (breach,) = audit(kept(records=(shows(TITLE, 1),))).breaches["wrong final value"]

    assert "record 100" in breach.subject
    assert "shows version 1 instead of 2" in breach.says


def test_the_same_update_again_right_after_itself_is_a_retry() -> None:
    """As it looks when its first answer was lost."""
    repeated = replace(RECORD, updates=(*RECORD.updates, AGAIN))

    assert audit(kept(records=(repeated,))).total == 0


def test_updates_that_travel_together_count_as_applied_once() -> None:
    """Of every part the newest value among them; the merged job points to the one that carried it."""
    together = replace(RECORD, updates=(Applied(30.0, {TITLE: 2, VALUE: 1, FIELD: 2}),))
    merged = seen(first=Seen(State.MERGED, points_to=SECOND.job_id))

    assert audit(kept(records=(together,), seen=merged)).total == 0


def test_without_its_needs_a_doubt_waits_for_a_person_and_is_no_breach() -> None:
    """Nor are the updates that wait behind it; nobody counts them as stuck."""
    unsettled = seen(create=IN_DOUBT, first=Seen(State.BLOCKED), second=Seen(State.BLOCKED))
    untouched = Record("alder", 100, CREATE.job_id, {TITLE: 0, VALUE: 0, FIELD: 0})

    judged = audit(kept(seen=unsettled, records=(untouched,), needs_met=False))

    assert judged.total == 0
    assert judged.waiting_for_a_person == {
        "creates in doubt": (CREATE.job_id,),
        "updates behind a create in doubt": (FIRST.job_id, SECOND.job_id),
        "updates behind a dead create": (),
    }


def test_updates_behind_a_dead_create_are_its_consequence() -> None:
    """The create is the breach; a replay of it sets them going."""
    dead = seen(create=Seen(State.DEAD, "exhausted"), first=Seen(State.BLOCKED), second=Seen(State.BLOCKED))

    judged = audit(kept(seen=dead, records=()))

    assert {name for name, breaches in judged.breaches.items() if breaches} == {"buried without need"}
    assert judged.waiting_for_a_person["updates behind a dead create"] == (FIRST.job_id, SECOND.job_id)


def test_what_an_unfinished_update_wrote_is_not_called_wrong() -> None:
    """Whether it was carried out nobody knows; that it is unfinished is told by another check."""
    unfinished = kept(seen=seen(second=Seen(State.SENDING)))

    assert found(unfinished) == {"stuck"}


def test_what_waited_for_the_id_of_a_create_in_doubt_is_its_consequence() -> None:
    """The doubt is told of, and not each update that nobody could hand over for want of an id."""
    evidence = kept(seen=seen(create=IN_DOUBT), withheld=(replace(SECOND, version=4),))

    assert "never handed over" not in found(evidence)


def test_throttles_of_the_plan_are_none_of_ours() -> None:
    """They bear the name of their rule."""
    planned = Request(50.0, "alder", "POST", "/crmopportunity", 401, fault="throttled, 401 (alder)")

    assert found(kept(requests=(planned,))) == set()


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.EXPIRED])
def test_a_backlog_may_expire(state: State) -> None:
    """It had a deadline, and a budget for a few of its jobs."""
    record = Record("alder", 101, LATE_JOB.job_id, {TITLE: 0, VALUE: 0, FIELD: 0})
    records = (record,) if state is State.SUCCEEDED else ()
    ended = {LATE_JOB.job_id: Seen(state, opportunity_id=101)}

    judged = audit(Evidence(jobs={LATE_JOB.job_id: LATE_JOB}, seen=ended, records=records, requests=(), budgets={}))

    assert judged.total == 0


@pytest.mark.parametrize("seen", [Seen(State.DEAD, "rejected"), Seen(State.DEAD, "refused")])
def test_a_job_refused_alone_may_die_of_the_refusal(seen: Seen) -> None:
    """By whichever of the product's words for it."""
    judged = audit(Evidence(jobs={ALONE.job_id: ALONE}, seen={ALONE.job_id: seen}, records=(), requests=(), budgets={}))

    assert judged.total == 0
