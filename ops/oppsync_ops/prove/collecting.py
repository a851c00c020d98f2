"""Gathering the evidence, when everything has settled: the CRM's records and journal, and what the set-up knows."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from oppsync_ops.processes import ProcessEnded
from oppsync_ops.prove.contender import Contender
from oppsync_ops.prove.evidence import Applied, Evidence, Record, Request, Seen
from oppsync_ops.prove.hostile import CALLED_BACK
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.planned import Fate, job_of, record_in, shown_in, versions_in
from oppsync_ops.prove.producers import Handed
from oppsync_ops.prove.stage import Stage
from oppsync_ops.witness import Witness

LOOK_EVERY_S: Final = 0.2


def collect(
    stage: Stage,
    contender: Contender,
    handed: Handed,
    seen: Mapping[str, Seen],
    exits: tuple[str, ...],
) -> Evidence:
    """Ask the witness, and the dead letters.

    Raises:
        ProcessEnded: the witness does not remember every request, so nothing may be concluded.
    """
    with stage.redis.client() as client:
        buried, strays = contender.buried(client, handed.poison), contender.strays(client)
    names = {one.name for one in handed.poison}
    may_die = {job_id for job_id, job in handed.jobs.items() if job.fate is not Fate.SUCCEEDED}
    # A planned job that died without need is told of by its own check.
    strangers = tuple(
        name for name in buried if not name.startswith(CALLED_BACK) and name not in {*names, *may_die, *handed.jobs}
    )
    return Evidence(
        jobs=dict(handed.jobs),
        seen=seen,
        records=tuple(record_of(row) for row in stage.crm.records()),
        requests=whole_journal(stage.crm, patience_s=stage.plan.form.too_slow_s),
        budgets=stage.plan.budgets,
        messages=tuple(filter(None, (job_of(row["marker"]) for row in stage.crm.journal("automation")))),
        poison=tuple(one.name for one in handed.poison),
        buried=buried,
        strangers=strangers,
        exits=exits,
        strays=strays,
        needs_met=stage.plan.options.needs_met,
        withheld=tuple(job for job in stage.plan.jobs if job.job_id not in handed.jobs),
        kept_back=tuple(kept_back(stage.plan, handed)),
    )


def kept_back(plan: Plan, handed: Handed) -> Iterator[str]:
    """Poison that was planned and not pushed, and neighbours of whom not one job was handed over."""
    pushed, moved_in = {one.name for one in handed.poison}, {job.instance for job in handed.jobs.values()}
    yield from (one.name for one in plan.poison if one.name not in pushed)
    yield from (f"{one.instance}: {one.trouble}" for one in plan.neighbours if one.instance not in moved_in)


def whole_journal(crm: Witness, *, patience_s: float) -> tuple[Request, ...]:
    """Every request that has arrived. A row is written when its call is over, and old rows go when there are too many.

    Raises:
        ProcessEnded: after so many seconds rows are missing still.
    """
    deadline = time.monotonic() + patience_s
    while True:
        received, found = crm.received(), tuple(requests(crm))
        if len(found) >= received:
            return found
        if time.monotonic() >= deadline:
            raise ProcessEnded(f"the CRM has received {received} requests, and its journal tells of {len(found)}")
        time.sleep(LOOK_EVERY_S)


def requests(crm: Witness) -> Iterator[Request]:
    """The journal."""
    for row in crm.journal("request"):
        job_id = job_of(row["marker"])
        yield Request(
            row["at"], row["instance"], row["method"], row["path"], row["status"], fault=row["fault"], job_id=job_id
        )


def record_of(row: Mapping[str, Any]) -> Record:
    """One record of the CRM, as the witness shows it."""
    made_by = job_of(row["marker"])
    return Record(
        instance=row["instance"],
        opportunity_id=row["id"],
        made_by=made_by,
        versions=shown_in(row, made_by),
        updates=tuple(
            Applied(one["at"], versions_in(one["changes"]), meant_for=record_in(one["changes"]))
            for one in row["updates"]
        ),
    )
