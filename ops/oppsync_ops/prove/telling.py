"""The outcome for a person: tables of breaches, faults and figures, and what all of it rests on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from oppsync_ops.cli.output import Column, Row, print_facts, print_lines, print_table
from oppsync_ops.prove.hits import FaultCount, by_job
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.run import Run
from oppsync_ops.prove.settings import telling
from oppsync_ops.prove.waits import figures

LABELS: Final = {
    "customers told twice": "customers notified twice",
    "throttled": "throttled by the CRM, without an injected fault",
    "unresolved doubt": "creates left in doubt",
    "stuck": "jobs that stopped moving",
    "waited for a neighbour": "waited for another instance",
    "buried without need": "good jobs that became dead letters",
    "not buried": "bad jobs that did not become dead letters",
    "never handed over": "jobs that could not be enqueued",
    "poison": "malformed messages that were not dead-lettered",
    "in no place": "orphaned jobs that the sweep repaired",
    "worker exits": "unexpected worker exits",
}
"""Plain words for checks, whose names are those of `--json`."""
SHOWN: Final = 10
"""Breaches of each kind that are spelt out."""


def show(runs: Sequence[Run], repeat: str) -> None:
    """Everything about our run, and how the other did beside it."""
    ours = runs[0]
    print_lines([*_heading(ours.plan), ""])
    print_table(list(_breaches(runs)), [Column.of("breach"), *(Column.of(run.name, right=True) for run in runs)])
    for run in runs:
        print_lines(list(_details(run)))
    print_lines([""])
    _faults(runs)
    print_lines([""])
    _recoveries(runs)
    _waits(ours)
    print_lines(["", *_figures(ours), "", "Settings of this run:"])
    print_facts(telling(ours.plan))
    print_lines(["", *_remarks(ours), f"To repeat: {repeat}"])


def show_plan(plan: Plan) -> None:
    """What a run would do, before anything is started."""
    print_lines([*_heading(plan), ""])
    rows: list[Row] = [
        {
            "at s": f"{one.at * plan.load_s:.1f}",
            "fault": one.fault.value,
            "worker": one.worker,
            "for s": f"{one.lasts_s:.1f}" if one.lasts_s else None,
        }
        for one in plan.faults
    ]
    rows += [{"fault": f"the CRM: {rule.name}", "chance": rule.given.get("p")} for rule in plan.rules]
    rows += [{"fault": f"{one.instance}, {one.jobs} jobs: {one.trouble}"} for one in plan.neighbours]
    columns = [Column.of("at s", right=True), Column.of("fault")]
    print_table(rows, columns + [Column.of(name, right=True) for name in ("worker", "for s", "chance")])
    print_lines(["", "Settings:"])
    print_facts(telling(plan))


def _heading(plan: Plan) -> Iterator[str]:
    creates = sum(job.creates for job in plan.jobs)
    foreign = sum(job.foreign for job in plan.jobs)
    yield f"Seed {plan.options.seed}, plan {plan.digest}, {plan.form.name} form, {plan.options.workers} workers."
    yield (
        f"{len(plan.jobs)} jobs over {plan.load_s:g} s: {creates} creates ({foreign} of them from another Celery"
        f" application), {len(plan.jobs) - creates} updates; {len(plan.poison)} malformed or hostile messages."
    )
    if plan.neighbours:
        beside = sum(one.jobs for one in plan.neighbours)
        yield f"Beside them {len(plan.neighbours)} instances in trouble, with {beside} jobs."


def _breaches(runs: Sequence[Run]) -> Iterator[Row]:
    for name in runs[0].audit.breaches:
        yield {"breach": LABELS.get(name, name), **{run.name: len(run.audit.breaches[name]) for run in runs}}


def _details(run: Run) -> Iterator[str]:
    hits = by_job(run.hits)
    for name, breaches in run.audit.breaches.items():
        if breaches:
            yield from ("", f"{run.name}: {LABELS.get(name, name)}")
        for breach in breaches[:SHOWN]:
            yield f"  {breach.subject}: {breach.says}"
            if breach.subject in hits:
                yield "    hit by: " + ", ".join(hit.fault for hit in hits[breach.subject])
            yield from (f"    {line}" for line in _explained(run.explained.get(breach.subject, {})))
        if len(breaches) > SHOWN:
            yield f"  and {len(breaches) - SHOWN} more (--json has all of them)"


def _explained(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("next"):
        yield f"{facts['state']}; next: {facts['next']['text']}"
    for event in facts.get("history", ()):
        yield " ".join(f"{name}={value}" for name, value in event.items() if value is not None)


def _faults(runs: Sequence[Run]) -> None:
    columns = [Column.of("fault")]
    for run in runs:
        prefix = "" if len(runs) == 1 else f"{run.name}: "
        columns += [Column.of(f"{run.name} times", f"{prefix}times", right=True)]
        columns += [Column.of(f"{run.name} jobs", f"{prefix}jobs hit", right=True)]
    rows: dict[str, dict[str, object]] = {}
    for run in runs:
        for one in run.faults:
            rows.setdefault(one.fault, {"fault": one.fault}).update(_fault(run.name, one))
    for one in runs[0].faults:
        rows[one.fault]["some"] = list(one.some)
    print_table(list(rows.values()), [*columns, Column.of("some", "some of them")])


def _fault(name: str, one: FaultCount) -> dict[str, object]:
    return {f"{name} times": one.times, f"{name} jobs": one.jobs}


def _recoveries(runs: Sequence[Run]) -> None:
    rows: list[Row] = []
    for run in runs:
        for name, one in run.recoveries.items():
            if one.jobs:
                rows.append(
                    {
                        "who": run.name,
                        "after": f"SIGKILL of a worker: {name}",
                        "jobs": one.jobs,
                        "median s": _seconds(one.median_s),
                        "most s": _seconds(one.most_s),
                        "never": one.never,
                    }
                )
        if run.redis_back_s:
            row = {"who": run.name, "after": "SIGKILL of Redis: claiming again", "most s": max(run.redis_back_s)}
            rows.append(row | {"most s": _seconds(max(run.redis_back_s))})
    columns = [Column.of("who"), Column.of("after")]
    print_table(rows, columns + [Column.of(name, right=True) for name in ("jobs", "median s", "most s", "never")])


def _waits(run: Run) -> None:
    rows: list[Row] = [
        {
            "when": one.phase.value,
            "lane": one.lane,
            "jobs": one.jobs,
            "p50 s": f"{one.p50_s:.3f}",
            "p99 s": f"{one.p99_s:.3f}",
            "allowed s": None if one.allowed_s is None else f"{one.allowed_s:.3f}",
            "hit": one.hit or None,
            "most s": _seconds(one.hit_most_s) if one.hit else None,
        }
        for one in figures(run.evidence.waiting)
    ]
    if rows:
        print_lines(["", "Seconds from enqueue to success, for instances with room in their budget:"])
        columns = [Column.of("when"), Column.of("lane")]
        columns += [Column.of(name, right=True) for name in ("jobs", "p50 s", "p99 s", "allowed s")]
        columns += [Column.of("hit", "hit by a fault", right=True), Column.of("most s", "slowest of them", right=True)]
        print_table(rows, columns)


def _figures(run: Run) -> Iterator[str]:
    window_s = run.plan.form.window_s
    budgets = (f"{name} {one.most} of {one.budget}" for name, one in run.pace.items())
    closest = min((one.one_more_s for one in run.pace.values() if one.one_more_s is not None), default=None)
    yield (
        f"Most requests in any {window_s:g} s: {', '.join(budgets)}."
        + (f" One more than the budget took {closest:.3f} s at least." if closest else "")
    )
    yield (
        f"Load {run.seconds['load']:.0f} s, settling {run.seconds['settling']:.0f} s; {len(run.evidence.requests)}"
        f" requests at the CRM; {run.lives} worker processes; {run.repeated} calls of producers made again."
    )
    if run.memory:
        one = run.memory
        yield (
            f"Resident memory of the longest-living worker over {one.seconds:.0f} s: {one.start_mib:.1f} MiB,"
            f" {one.middle_mib:.1f} half-way, {one.end_mib:.1f} at the end; {one.mib_per_minute:+.2f} MiB a minute."
        )


def _remarks(run: Run) -> Iterator[str]:
    for name, job_ids in run.audit.waiting_for_a_person.items():
        if job_ids:
            more = ", ..." if len(job_ids) > SHOWN else ""
            yield f"Waiting for a person: {len(job_ids)} {name} ({', '.join(job_ids[:SHOWN])}{more})."
    if run.withheld:
        yield f"{run.withheld} jobs were never handed over: updates by id of records whose id never became known."
    if not run.plan.options.needs_met:
        yield (
            "Without a marker field, or without lead ids, a lost answer cannot always be settled: such creates are"
            " left to a person, and never sent again blindly. They are no breach in this run."
        )
    yield "Budgets are counted at the CRM, in every window wherever it begins, without any tolerance."
    yield "These results need the settings above: AOF always, a marker field in the CRM, a lead id in every create."


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
