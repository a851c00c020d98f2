"""Handing over jobs: the producer's half of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from oppsync_worker.contract.errors import JobConflict
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode_with_digest
from oppsync_worker.ledger.scripts import Argument, Call

UNIT: Final = 25
"""Jobs per run of the script: together they hold Redis up for about a millisecond."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The job that stands for what was enqueued; `created` is False when it had been enqueued before.

    With a `conflict` nothing was enqueued: another job, `job_id`, stands where this one wanted to.
    """

    job_id: str
    created: bool
    conflict: JobConflict | None = None


def enqueue(job: AnyJob) -> Call:
    """Record a job and push it; doing it twice is doing it once.

    Raises:
        InvalidJob: the job is too large.
    """
    return Call("enqueue", ("", 0, *_fields(job)))


def enqueue_in_order(jobs: Sequence[AnyJob]) -> list[Call]:
    """Record and push many jobs, for `chains.run_in_order`.

    Raises:
        InvalidJob: a job is too large; there are no calls then, so nothing is recorded.
    """
    if len(jobs) == 1:
        return [enqueue(jobs[0])]
    units = [jobs[start : start + UNIT] for start in range(0, len(jobs), UNIT)]
    return [Call("enqueue", ("", 0, *(part for job in unit for part in _fields(job)))) for unit in units]


def receipts(jobs: Sequence[AnyJob], answers: list[Any]) -> list[Receipt]:
    """Read the answers to `enqueue_in_order`."""
    if len(jobs) == 1:
        return [_receipt(jobs[0], answers[0][0])]
    return [_receipt(job, one) for job, one in zip(jobs, (one for unit in answers for one in unit), strict=True)]


def receipt(answer: Any) -> tuple[str, bool]:
    """Read the answer to `enqueue`: which job stands for it, and whether it was recorded now."""
    job_id, created, *_ = answer[0]
    return _text(job_id), created == 1


def described(job: AnyJob) -> tuple[Argument, ...]:
    """What the ledger must know of a job to enqueue it, or to begin one that somebody else has pushed."""
    return (
        job.job_id,
        job.kind.value,
        job.instance,
        job.lane.value,
        job.idempotency_key or "",
        job.external_ref or "",
        job.target or "",
        milliseconds(job.not_before),
        milliseconds(job.deadline),
    )


def _fields(job: AnyJob) -> tuple[Argument, ...]:
    message, digest = encode_with_digest(job)
    return (*described(job), digest, message)


def _receipt(job: AnyJob, answer: Any) -> Receipt:
    job_id, created, *why = answer
    standing = _text(job_id)
    if not why:
        return Receipt(standing, bool(created))
    reason, kind, instance = (_text(part) for part in why)
    asked, stands = (
        f"{one} for instance {of!r}" if of else "a message that nobody could read"
        for one, of in ((job.kind.value, job.instance), (kind, instance))
    )
    return Receipt(
        standing, created=False, conflict=JobConflict(job.job_id, standing, reason, asked=asked, stands=stands)
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
