"""From the runner's reports to lines and Sentry events: the adapter between those who act and those who watch."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from celery.signals import setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from oppsync_worker.contract.states import Cause, State
from oppsync_worker.crm.redact import redact
from oppsync_worker.errors import AttemptError
from oppsync_worker.observe.lines import AttemptLine
from oppsync_worker.observe.logs import configure_logging
from oppsync_worker.observe.observer import Observer
from oppsync_worker.observe.sentry import flush, init_sentry
from oppsync_worker.policy.verdicts import Bury, Defer, Doubt, HoldInstance, Retry, Verdict
from oppsync_worker.runner.reports import Looked, Report
from oppsync_worker.runner.settling import REFUSED
from oppsync_worker.settings import Settings, SettingsError

FLUSH_S = 2.0
"""How long a stopping worker waits for Sentry."""

WORDS: dict[type[Verdict], str] = {
    Retry: "retry",
    Defer: "wait",
    HoldInstance: "hold",
    Doubt: "in_doubt",
    Bury: "bury",
}

UNREMARKABLE = {State.WAITING, State.SCHEDULED, State.QUEUED, State.SUCCEEDED, State.UNKNOWN}
"""Where a job may be parked without a line: a backlog of 100,000 waiting jobs is one fact, not 100,000."""


class JobReporter:
    """The runner's `Reporter`, told through an `Observer`. Never raises."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._markers_lost: set[tuple[str, int]] = set()

    def succeeded(self, report: Report, opportunity_id: int, *, stale: bool) -> None:
        """The CRM has it."""
        if stale:
            self._observer.notice("stale_claim", job_id=report.job_id, instance=report.instance)
        self._observer.attempt(_line(report, "succeeded", State.SUCCEEDED, opportunity_id=opportunity_id))

    def failed(self, report: Report, error: AttemptError, verdict: Verdict, state: State | None) -> None:
        """An attempt failed."""
        line = _line(
            report,
            WORDS[type(verdict)],
            state or State.UNKNOWN,
            cause=verdict.cause.value if isinstance(verdict, Bury) else None,
            status=error.seen.status,
            error=type(error).__name__,
            message=error.seen.text,
            delay_ms=int(verdict.delay_s * 1000) if isinstance(verdict, Retry) else None,
        )
        self._observer.attempt(line)
        if state is None:
            self._observer.notice("stale_claim", job_id=report.job_id, instance=report.instance)
        elif isinstance(verdict, Bury):
            self._observer.buried(line, detail=verdict.detail)
        elif isinstance(verdict, HoldInstance) and state == State.DEAD:
            refused = replace(line, verdict="bury", cause=Cause.REFUSED.value)
            self._observer.buried(refused, detail=f"{error}: {REFUSED}")

    def parked(self, report: Report, state: State, *, cause: str) -> None:
        """Nothing was sent."""
        if state not in UNREMARKABLE:
            self._observer.attempt(_line(report, "parked", state, cause=cause, attempt=None, duration_ms=None))

    def marker_lost(self, report: Report, funnel_id: int) -> None:
        """The marker's field does not exist in the CRM: told once per funnel by each process."""
        if (report.instance, funnel_id) not in self._markers_lost:
            self._markers_lost.add((report.instance, funnel_id))
            said = (
                f"the record of a create in funnel {funnel_id} does not bear its marker: does the marker_field exist?"
            )
            self._observer.alarm("marker_lost", job_id=report.job_id, instance=report.instance, detail=said)

    def surplus(self, report: Report, opportunity_id: int | None, other: int | None) -> None:
        """A person has to look at the record that is one too many."""
        made = f"made record {opportunity_id}" if opportunity_id else "may have made a record"
        stands = f"has record {other} already" if other else "was dropped"
        said = f"a request {made}, although its job {stands}: Redis had forgotten what was sent, or a person decided"
        self._observer.alarm("surplus", job_id=report.job_id, instance=report.instance, detail=said)

    def looked(self, looked: Looked) -> None:
        """A look-up for a create in doubt was done."""
        self._observer.notice(
            "reconciled",
            job_id=looked.job_id,
            instance=looked.instance,
            list=looked.source,
            saw=looked.saw,
            verdict=looked.step,
            duration_ms=looked.duration_ms,
            message=redact(looked.detail),
        )
        if looked.step == "ask_person":
            self._observer.alarm("undecided", job_id=looked.job_id, instance=looked.instance, detail=looked.detail)

    def strays(self, counts: Mapping[str, int], some: str) -> None:
        """The sweep has found something that should not be."""
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        self._observer.alarm("strays", detail=f"{said}: {some}")

    def buried_unread(self, job_id: str, task: str, cause: Cause, detail: str) -> None:
        """A message that is no job, or a job that kills its workers, was buried."""
        line = AttemptLine(
            job_id=job_id,
            instance=None,
            kind=task or None,
            lane=None,
            verdict="bury",
            state=State.DEAD.value,
            cause=cause.value,
            message=redact(detail),
        )
        self._observer.buried(line, detail=redact(detail))

    def unexpected(self, error: BaseException, report: Report | None) -> None:
        """An error of our own."""
        self._observer.unexpected(
            error,
            job_id=report.job_id if report else None,
            instance=report.instance if report else None,
            kind=report.kind if report else None,
            lane=report.lane if report else None,
        )

    def notice(self, event: str, **fields: object) -> None:
        """Something worth a line that is no attempt."""
        self._observer.notice(event, **fields)


def _line(report: Report, verdict: str, state: State, **given: Any) -> AttemptLine:
    facts: dict[str, Any] = {
        "attempt": report.attempt,
        "replays": report.replays,
        "duration_ms": report.duration_ms,
        "slot_wait_ms": report.slot_wait_ms,
        "age_ms": report.age_ms,
        **given,
    }
    return AttemptLine(
        job_id=report.job_id,
        instance=report.instance,
        kind=report.kind,
        lane=report.lane,
        verdict=verdict,
        state=state.value,
        **facts,
    )


def open_reporter(settings: Settings, redis_url: str) -> JobReporter:
    """Set up logging and Sentry for a worker process. Sentry first, before Celery's consumer is imported.

    Raises:
        SettingsError: the Sentry DSN is wrong.
    """
    password = urlsplit(redis_url).password
    secrets = [*settings.secrets, *([password] if password else [])]

    def cleaned(text: str) -> str:
        return redact(text, secrets=secrets)

    dsn = settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None
    try:
        reports = init_sentry(dsn, environment=settings.sentry_environment, redact=cleaned, secrets=secrets)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    observer = Observer(reports=reports)

    def logs(**_: Any) -> None:
        configure_logging(settings.log, settings.log_level, redact=cleaned)

    def stopped(**_: Any) -> None:
        observer.notice("worker_stopped")
        flush(FLUSH_S)

    # Connecting to this signal is also what keeps Celery from adding handlers of its own.
    setup_logging.connect(logs, weak=False)
    worker_ready.connect(lambda **_: observer.notice("worker_ready"), weak=False)
    worker_shutting_down.connect(lambda **_: observer.notice("worker_stopping"), weak=False)
    worker_shutdown.connect(stopped, weak=False)
    logging.captureWarnings(capture=True)
    return JobReporter(observer)
