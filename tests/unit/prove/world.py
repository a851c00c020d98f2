"""A small world in which every promise was kept, for tests to spoil in one place."""

from dataclasses import replace
from typing import Any

from oppsync_ops.prove.evidence import Applied, Evidence, Record, Request, Seen
from oppsync_ops.prove.plan import Allowance
from oppsync_ops.prove.planned import FIELD, TITLE, VALUE, By, Fate, PlannedJob
from oppsync_worker.contract.states import State

CREATE = PlannedJob(
    instance="alder",
    number=1,
    version=0,
    at=0.1,
    by=By.CREATE,
    lane="bulk",
    reference="order-1",
    changes=(TITLE, VALUE, FIELD),
    lead_id=7,
    column=130,
)
FIRST = replace(CREATE, version=1, by=By.REFERENCE, changes=(TITLE, VALUE), lead_id=None, column=None)
SECOND = replace(FIRST, version=2, changes=(TITLE, FIELD))
BAD = replace(CREATE, number=2, reference="order-2", fate=Fate.REFUSED)
KILLER = replace(FIRST, version=3, changes=(TITLE,), fate=Fate.POISON)

RECORD = Record(
    instance="alder",
    opportunity_id=100,
    made_by=CREATE.job_id,
    versions={TITLE: 2, VALUE: 1, FIELD: 2},
    updates=(Applied(20.0, {TITLE: 1, VALUE: 1}), Applied(30.0, {TITLE: 2, FIELD: 2})),
)
DONE = Seen(State.SUCCEEDED, opportunity_id=100)


def kept(**changed: Any) -> Evidence:
    """Everything went well, but for what is given."""
    jobs = {job.job_id: job for job in (CREATE, FIRST, SECOND, BAD, KILLER)}
    whole = Evidence(
        jobs=jobs,
        seen={
            CREATE.job_id: DONE,
            FIRST.job_id: DONE,
            SECOND.job_id: DONE,
            BAD.job_id: Seen(State.DEAD, "rejected"),
            KILLER.job_id: Seen(State.DEAD, "poison"),
        },
        records=(RECORD,),
        requests=tuple(Request(10.0 * n, "alder", "POST", "/crmopportunity", 200) for n in range(3)),
        budgets={"alder": Allowance(2, 15.0)},
        messages=(CREATE.job_id,),
        poison=("poison-0",),
        buried={"poison-0": "undecodable", BAD.job_id: "rejected", KILLER.job_id: "poison"},
    )
    return replace(whole, **changed)


def seen(**changed: Seen) -> dict[str, Seen]:
    """What is known of the jobs, but for the create (`create`), its updates (`first`, `second`) and the bad ones."""
    names = {"create": CREATE, "first": FIRST, "second": SECOND, "bad": BAD, "killer": KILLER}
    return {**kept().seen, **{names[name].job_id: one for name, one in changed.items()}}
