"""Handing over a job: the producer's half of the ledger."""

from typing import Any

from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger.scripts import Call


def enqueue(job: AnyJob) -> Call:
    """Record a job and push it; doing it twice is doing it once.

    Raises:
        InvalidJob: the job is too large.
    """
    return Call(
        "enqueue",
        (
            job.job_id,
            job.kind.value,
            job.instance,
            job.lane.value,
            job.idempotency_key or "",
            job.external_ref or "",
            job.target or "",
            milliseconds(job.not_before),
            milliseconds(job.deadline),
            encode(job),
        ),
    )


def receipt(answer: Any) -> tuple[str, bool]:
    """Which job stands for what was enqueued, and whether it was recorded now."""
    job_id, created = answer
    return (job_id.decode() if isinstance(job_id, bytes) else job_id), bool(created)
