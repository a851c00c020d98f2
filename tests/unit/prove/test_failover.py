"""What a failover may cost, and what it may not."""

from dataclasses import replace
from typing import Any

import pytest

from oppsync_ops.prove.evidence import Record, Request, Seen
from oppsync_ops.prove.failover.audit import CHECKS, Failover, FailoverEvidence, audit
from oppsync_ops.prove.planned import FIELD, TITLE, VALUE
from oppsync_worker.contract.states import State
from unit.prove.world import CREATE, DONE, FIRST, RECORD

OTHER = replace(CREATE, number=5)
FAILOVER = Failover(replicated_at=100.0, killed_at=102.0, promoted_at=103.0)
BEFORE, LAGGING, AFTER = 90.0, 101.0, 110.0
SECOND_RECORD = replace(RECORD, opportunity_id=101)
UNTOUCHED = Record("alder", 200, OTHER.job_id, {TITLE: 0, VALUE: 0, FIELD: 0})


def post(at: float) -> Request:
    """The create's request."""
    return Request(at, "alder", "POST", "/crmopportunity", 200, job_id=CREATE.job_id)


def kept(**changed: Any) -> FailoverEvidence:
    """A create and its update, acknowledged and done before anything happened; another create, forgotten rightly."""
    whole = FailoverEvidence(
        jobs={job.job_id: job for job in (CREATE, FIRST, OTHER)},
        acknowledged={CREATE.job_id: BEFORE, FIRST.job_id: BEFORE, OTHER.job_id: LAGGING},
        failovers=(FAILOVER,),
        seen={CREATE.job_id: DONE, FIRST.job_id: DONE, OTHER.job_id: Seen(State.UNKNOWN)},
        records=(replace(RECORD, versions={TITLE: 1, VALUE: 1, FIELD: 0}), UNTOUCHED),
        requests=(post(BEFORE),),
        latency_s=(0.3, 1.5),
    )
    return replace(whole, **changed)


def seen(**changed: Seen) -> dict[str, Seen]:
    """What is known of the jobs."""
    names = {"create": CREATE, "first": FIRST, "other": OTHER}
    return {**kept().seen, **{names[name].job_id: one for name, one in changed.items()}}


TWICE = (replace(RECORD, versions={TITLE: 1, VALUE: 1, FIELD: 0}), SECOND_RECORD, UNTOUCHED)

PLANTED: dict[str, tuple[str, FailoverEvidence]] = {
    "a job that the replica had": ("lost", kept(seen=seen(first=Seen(State.UNKNOWN)))),
    "a job that was acknowledged by the new primary": (
        "lost",
        kept(acknowledged={CREATE.job_id: BEFORE, OTHER.job_id: AFTER}),
    ),
    "a success that the CRM shows nothing of": ("lost", kept(records=(UNTOUCHED,))),
    "a success that is not the record it made": (
        "lost",
        kept(seen=seen(create=replace(DONE, opportunity_id=200))),
    ),
    "an update without effect": (
        "lost",
        kept(records=(replace(RECORD, versions={TITLE: 1, VALUE: 1, FIELD: 0}, updates=()), UNTOUCHED)),
    ),
    "a record that nobody asked for": (
        "doubled",
        kept(records=(*kept().records, replace(UNTOUCHED, opportunity_id=300, made_by="alder-r77-v0"))),
    ),
    "a job that was never taken": ("never handed over", kept(acknowledged={CREATE.job_id: BEFORE})),
    "a create that was in doubt when it was sent again": (
        "doubled",
        kept(records=TWICE, requests=(post(BEFORE), post(AFTER))),
    ),
    "a create that was sent again while the primary was well": (
        "doubled",
        kept(records=TWICE, requests=(post(101.0), post(101.5))),
    ),
    "a create whose answer its worker had in hand": (
        "doubled",
        kept(records=TWICE, requests=(post(101.9), post(109.0))),
    ),
    "a create sent again with the barrier": (
        "doubled",
        kept(barrier=True, records=TWICE, requests=(post(101.0), post(103.5))),
    ),
    "an old title": (
        "wrong final value",
        kept(records=(replace(RECORD, versions={TITLE: 0, VALUE: 1, FIELD: 0}), UNTOUCHED)),
    ),
    "a job that still waits": ("not ended", kept(seen=seen(first=Seen(State.BLOCKED)))),
    "a good job that died": ("buried", kept(seen=seen(first=Seen(State.DEAD, "internal")))),
    "a worker that ended": ("worker exits", kept(exits=("worker-1.1 ended by itself with 1",))),
}


def test_what_asynchronous_replication_loses_is_counted_and_no_breach() -> None:
    """The job was acknowledged when the replica had stopped listening."""
    judged = audit(kept())

    assert judged.total == 0
    assert judged.at_risk == judged.forgotten == (OTHER.job_id,)


def test_what_the_primary_answered_last_may_be_read_after_its_death() -> None:
    """Nobody acknowledges anything until the replica is promoted."""
    judged = audit(kept(acknowledged={**kept().acknowledged, OTHER.job_id: (102.0 + 103.0) / 2}))

    assert judged.total == 0
    assert judged.forgotten == (OTHER.job_id,)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_breach_is_found(planted: str) -> None:
    """By the check that is there for it."""
    check, evidence = PLANTED[planted]

    assert audit(evidence).breaches[check]


def test_every_check_can_fail() -> None:
    """No check is without a breach above."""
    assert {check for check, _ in PLANTED.values()} == set(CHECKS)


@pytest.mark.parametrize("again", [103.2, 105.0])
def test_a_create_whose_beginning_was_forgotten_is_no_breach_when_nobody_knew_of_its_answer(again: float) -> None:
    """The promoted replica has it in line; its first request is on its way, or was settled at the dead primary."""
    judged = audit(kept(records=TWICE, requests=(post(101.0), post(again))))

    assert judged.total == 0
    assert judged.sent_again == (CREATE.job_id,)


@pytest.mark.parametrize(("written", "breaches"), [(BEFORE, 1), (LAGGING, 0), (AFTER, 1)])
def test_a_record_that_was_written_while_the_replica_lagged_may_be_written_again(written: float, breaches: int) -> None:
    """Its update is forgotten to be done, and comes once more after a newer one."""
    old = replace(RECORD, versions={TITLE: 0, VALUE: 1, FIELD: 0})
    update = Request(written, "alder", "PUT", "/crmopportunity/100", 200, job_id=FIRST.job_id)

    assert audit(kept(records=(old, UNTOUCHED), requests=(post(BEFORE), update))).total == breaches


def test_an_update_behind_a_forgotten_create_is_its_consequence() -> None:
    """Nobody can carry it out."""
    behind = replace(FIRST, number=5)
    evidence = kept(
        jobs={**kept().jobs, behind.job_id: behind},
        acknowledged={**kept().acknowledged, behind.job_id: AFTER},
        seen={**seen(), behind.job_id: Seen(State.BLOCKED)},
    )

    assert audit(evidence).total == 0
