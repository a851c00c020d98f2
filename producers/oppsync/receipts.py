"""What a producer gets back, and how long it looks for more."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from oppsync_worker.contract.errors import JobConflict, JobConflicts
from oppsync_worker.contract.states import State
from oppsync_worker.ledger.enqueuing import Receipt

T = TypeVar("T")

BATCH: Final = 500
"""Jobs per round trip of `enqueue_many`: large enough to hide the round trip, small enough not to hold Redis up."""

ANSWER_TIMEOUT_S: Final = 2.0
RETRIES: Final = 1
"""redis-py retries a connection within a retried call: four tries, so a silent Redis is told of after eight seconds."""

APPEAR_S: Final = 10.0
"""How long `wait` looks for an id that nobody knows. One that `enqueue` gave is known at once; the id of a message that
another Celery producer pushed is known when a worker first sees it, which takes longer behind a backlog."""

POLL_FIRST_S: Final = 0.02
POLL_MOST_S: Final = 0.5


class WaitTimeout(TimeoutError):
    """The job had not ended in time; it goes on all the same."""


class UnknownJob(LookupError):
    """No job has this id: it is wrong, its outcome is no longer kept, or no worker has seen its Celery message yet."""


@dataclass(slots=True)
class Patience:
    """How long `wait` looks at a job that is not there, or has not ended; the same for both clients."""

    job_id: str
    timeout_s: float | None
    appear_s: float
    started: float
    seen: bool = False

    def __post_init__(self) -> None:
        """NaN is less than nothing and more than nothing: such a wait would never end."""
        if math.isnan(self.appear_s) or (self.timeout_s is not None and math.isnan(self.timeout_s)):
            raise ValueError("a time to wait must be a number of seconds, not NaN")

    def judge(self, state: State, *, now: float, pause: float) -> None:
        """Look again after `pause`, unless it was waited long enough.

        Raises:
            UnknownJob, WaitTimeout: it was.
        """
        waited = now - self.started
        if state != State.UNKNOWN:
            self.seen = True
        elif self.seen:
            raise UnknownJob(f"job {self.job_id} is no longer known: its outcome was kept as long as it should be")
        elif waited + pause > self.appear_s and (self.timeout_s is None or self.appear_s <= self.timeout_s):
            raise UnknownJob(f"no job {self.job_id} was there within {self.appear_s:g} s")
        if self.timeout_s is not None and waited + pause > self.timeout_s:
            raise WaitTimeout(f"job {self.job_id} is {state} after {self.timeout_s:g} s")


def batches(jobs: Iterable[T]) -> Iterator[list[T]]:
    """Jobs in groups of `BATCH`."""
    source = iter(jobs)
    while batch := list(islice(source, BATCH)):
        yield batch


def pauses() -> Iterator[float]:
    """Seconds between looks at a job that is waited for: short at first, half a second in the end."""
    pause = POLL_FIRST_S
    while True:
        yield pause
        pause = min(pause * 1.5, POLL_MOST_S)


def job_ids(receipts: Iterable[Receipt]) -> list[str]:
    """The ids of all jobs that were handed over, in order.

    Raises:
        JobConflicts: some were refused.
    """
    found: list[str | None] = []
    conflicts: list[JobConflict] = []
    for receipt in receipts:
        found.append(None if receipt.conflict else receipt.job_id)
        if receipt.conflict:
            conflicts.append(receipt.conflict)
    if conflicts:
        raise JobConflicts(tuple(conflicts), tuple(found))
    return [job_id for job_id in found if job_id is not None]


def job_id(receipt: Receipt) -> str:
    """The id of one job that was handed over.

    Raises:
        JobConflict: it was refused.
    """
    if receipt.conflict:
        raise receipt.conflict
    return receipt.job_id


__all__ = ["Receipt", "WaitTimeout", "batches", "job_id", "job_ids", "pauses"]
