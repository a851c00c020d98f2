"""`Task.retry`, from whoever calls it: the job goes onto the ledger's schedule, under its claim. Nothing is published.

Celery would send a copy and acknowledge the original: two jobs when it dies in between, none when sending fails. Here
one script does both, and what it does depends on how far the job has come:

| under this claim the job is | it becomes |
|---|---|
| queued: not begun | scheduled |
| sending, an update | scheduled: an update may be sent twice |
| sending, a create | in doubt: nobody knows what the CRM made of it |
| put back as often as it may be | dead: exhausted |
| settled, or somebody else's by now | left alone |
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from oppsync_worker.contract.fields import iso_utc
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.engine.engine import Engine
from oppsync_worker.instances import RetrySettings
from oppsync_worker.ledger import ends, standing
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.standing import Standing
from oppsync_worker.policy.backoff import delay_s
from oppsync_worker.policy.verdicts import Bury, Doubt, Retry
from oppsync_worker.runner.ends import Abandoned, Dead, Parked
from oppsync_worker.runner.reports import Report

_SAID: Final = "its task asked for another try"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller of `Task.retry` wants."""

    delay_s: float | None
    """None: the instance's backoff decides."""
    most: int | None
    """How often a job may be put back; None: as often as the instance's settings allow attempts."""
    error: str
    """Class name of what went wrong; never its text, which may quote a customer."""


def decide(stand: Standing, asked: Asked, settings: RetrySettings, *, draw: float) -> Retry | Doubt | Bury | None:
    """What becomes of a job that is to be tried again; None when it is not this claim's to decide."""
    if not stand.ours:
        return None
    if stand.state == State.SENDING and stand.kind == Kind.CREATE:
        return Doubt()
    most = settings.max_attempts - 1 if asked.most is None else asked.most
    if stand.retries >= most:
        return Bury(Cause.EXHAUSTED, f"put back {stand.retries} times by its task; the last: {asked.error}")
    if asked.delay_s is not None:
        return Retry(max(0.0, asked.delay_s))
    return Retry(delay_s(stand.retries + 1, settings, draw=draw, retry_after_s=None))


async def put_back(
    engine: Engine, tag: str, report: Report, asked: Asked, settings: RetrySettings, *, draw: float
) -> Retry | Dead | Parked | Abandoned:
    """Have a claimed job tried again later. `Retry` when it will be; otherwise what became of it."""
    if engine.book is None:
        engine.hands.abandon(tag)
        return Abandoned("the worker is not open")
    hand = ends.Hand(tag, report.job_id, engine.ttl_s)
    try:
        stand = standing.stood(await engine.book.surely(standing.stand(hand)))
        attempt = ends.Attempt(iso_utc(datetime.now(UTC)), stand.retries + 1, 0, None, asked.error, _SAID)
        match verdict := decide(stand, asked, settings, draw=draw):
            case None:
                engine.hands.settle(tag)
                return Parked(stand.state)
            case Retry():
                delay_ms = int(verdict.delay_s * 1000)
                # What was sent may be carried out all the same, and later: the record's next update waits for it.
                effects = ends.Effects(unsure=stand.state == State.SENDING)
                call = ends.reschedule(hand, delay_ms=delay_ms, attempt=attempt, effects=effects, put_back=report)
            case Doubt():
                call = ends.doubt(hand, attempt=attempt)
            case Bury(cause, detail):
                call = ends.bury(
                    hand, cause=cause, detail=detail, attempt=attempt, kind=report.kind, instance=report.instance
                )
        state = await engine.book.settle(call)
    except LedgerUnavailable as error:
        engine.hands.abandon(tag)
        return Abandoned(str(error))
    engine.hands.settle(tag)
    return _told(engine, report, verdict, state)


def _told(engine: Engine, report: Report, verdict: Retry | Doubt | Bury, state: State | None) -> Retry | Dead | Parked:
    if state == State.DEAD and isinstance(verdict, Bury):
        engine.reporter.buried_unread(report.job_id, report.kind, verdict.cause, verdict.detail)
        return Dead(verdict.cause, verdict.detail)
    if state == State.SCHEDULED and isinstance(verdict, Retry):
        return verdict
    engine.reporter.parked(report, state or State.UNKNOWN, cause="put_back")
    return Parked(state or State.UNKNOWN)
