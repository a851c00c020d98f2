"""The outcome for a program, and the full list of which fault hit which job."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from oppsync_ops.prove.hits import by_job
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.run import Run
from oppsync_ops.prove.settings import telling
from oppsync_ops.prove.waits import figures


def as_document(run: Run) -> dict[str, Any]:
    """One run as plain JSON values."""
    return {
        "name": run.name,
        "breaches": {name: [asdict(one) for one in found] for name, found in run.audit.breaches.items()},
        "waiting_for_a_person": {name: list(ids) for name, ids in run.audit.waiting_for_a_person.items()},
        "faults": [asdict(one) for one in run.faults],
        "recoveries": {name: asdict(one) for name, one in run.recoveries.items()},
        "redis_back_s": list(run.redis_back_s),
        "memory": asdict(run.memory) if run.memory else None,
        "seconds": dict(run.seconds),
        "requests": len(run.evidence.requests),
        "records": len(run.evidence.records),
        "pace": {name: asdict(one) for name, one in run.pace.items()},
        "waits": [asdict(one) for one in figures(run.evidence.waiting)],
        "repeated": run.repeated,
        "withheld": run.withheld,
        "lives": run.lives,
        "explained": {job_id: dict(facts) for job_id, facts in run.explained.items()},
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """What was planned, as far as it is short."""
    return {
        **asdict(plan.options),
        "digest": plan.digest,
        "form": plan.form.name,
        "planned_jobs": len(plan.jobs),
        "budgets": {name: asdict(one) for name, one in plan.budgets.items()},
        "neighbours": [{**asdict(one), "trouble": one.trouble.value} for one in plan.neighbours],
        "settings": telling(plan),
        "faults": [{**asdict(one), "fault": one.fault.value} for one in plan.faults],
    }


def report(run: Run) -> dict[str, Any]:
    """Every job: what it was, where it ended, and what hit it, in order of time; apart for those beside the plan."""
    whom = by_job(run.hits)
    planned = {job.job_id for job in run.plan.jobs}
    jobs: dict[str, dict[str, Any]] = {}
    beside: dict[str, dict[str, Any]] = {}
    for job_id, job in run.evidence.jobs.items():
        seen = run.evidence.seen.get(job_id)
        (jobs if job_id in planned else beside)[job_id] = {
            "record": job.record,
            "version": job.version,
            "by": job.by.value,
            "foreign": job.foreign,
            "state": seen.state.value if seen else None,
            "opportunity_id": seen.opportunity_id if seen else None,
            "hits": [{"fault": hit.fault, "at": _iso(hit.at), "says": hit.says} for hit in whom.get(job_id, ())],
        }
    return {"name": run.name, "plan": plan_document(run.plan), "jobs": jobs, "beside": beside}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
