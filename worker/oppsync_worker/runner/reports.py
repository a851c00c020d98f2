"""What is told of a delivery: gathered while it runs, and handed to whoever listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.outcomes import success
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.errors import AttemptError
from oppsync_worker.ledger.begin import Go
from oppsync_worker.ledger.ends import Attempt
from oppsync_worker.policy.verdicts import Verdict


@dataclass(slots=True)
class Report:
    """Facts of one delivery. Ids, numbers and times: nothing that a customer wrote."""

    job_id: str
    kind: str
    instance: str
    lane: str
    attempt: int = 0
    replays: int = 0
    age_ms: int = 0
    """Since the job was enqueued until it was sent."""
    slot_wait_ms: int = 0
    duration_ms: int = 0

    @classmethod
    def of(cls, job: AnyJob) -> Self:
        """A report that knows the job."""
        return cls(job.job_id, job.kind.value, job.instance, job.lane.value)

    def took(self, go: Go, seconds: float) -> None:
        """The call is over."""
        self.attempt, self.replays, self.age_ms = go.attempt, go.replays, go.age_ms
        self.duration_ms = int(seconds * 1000)

    def as_success(self, at: str, status: int | None) -> Attempt:
        """The last line in the job's history."""
        return Attempt(at, self.attempt, self.duration_ms, status, None, None)

    def as_attempt(self, at: str, error: AttemptError) -> Attempt:
        """The line in the job's history."""
        return Attempt(
            at=at,
            number=self.attempt,
            duration_ms=self.duration_ms,
            status=error.seen.status,
            error=type(error).__name__,
            message=error.seen.text,
        )

    def result(self, opportunity_id: int, kept: Mapping[str, Any]) -> dict[str, Any]:
        """The outcome of a job that succeeded, as every Celery client reads it."""
        outcome = success(
            job_id=self.job_id,
            kind=self.kind,
            instance=self.instance,
            opportunity_id=opportunity_id,
            attempts=self.attempt,
            replays=self.replays,
            record=kept,
        )
        timings = {"age_ms": self.age_ms, "slot_wait_ms": self.slot_wait_ms, "call_ms": self.duration_ms}
        return {**outcome, "timings": timings}


@dataclass(frozen=True, slots=True)
class Looked:
    """Facts of one look-up for a create in doubt: ids, numbers and words of ours."""

    job_id: str
    instance: str
    source: str
    saw: str
    step: str
    duration_ms: int
    detail: str


class Reporter(Protocol):
    """Whoever listens to deliveries. Never raises."""

    def succeeded(self, report: Report, opportunity_id: int, *, stale: bool) -> None:
        """The CRM has it; `stale` when another claim had taken the job over meanwhile."""

    def failed(self, report: Report, error: AttemptError, verdict: Verdict, state: State | None) -> None:
        """An attempt failed; `state` is where the job is now, None when the claim was stale."""

    def parked(self, report: Report, state: State, *, cause: str) -> None:
        """Nothing was sent."""

    def marker_lost(self, report: Report, funnel_id: int) -> None:
        """SprintHub did not keep the marker of a create: the instance's `marker_field` does not exist there."""

    def surplus(self, report: Report, opportunity_id: int | None, other: int | None) -> None:
        """A create has made one record more than its job stands for, or may have (None); the job's own is `other`."""

    def looked(self, looked: Looked) -> None:
        """A look-up for a create in doubt was done."""

    def strays(self, counts: Mapping[str, int], some: str) -> None:
        """The sweep has found jobs in no place, or places without a job: how many by word, and the first of them."""

    def buried_unread(self, job_id: str, task: str, cause: Cause, detail: str) -> None:
        """A message that is no job was buried."""

    def unexpected(self, error: BaseException, report: Report | None) -> None:
        """An error of our own."""

    def notice(self, event: str, **fields: object) -> None:
        """Something worth a line that is no attempt."""
