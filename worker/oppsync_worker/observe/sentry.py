"""The Sentry SDK, set up once per process. Without a DSN nothing happens here at all.

What is reported: one event per dead letter, one per unexpected error, nothing per retry, nothing per log line.

**Who captures.** `Observer.unexpected` does, through `SentryReports`. Celery's `task_failure` signal is the net for an
error that the observer never saw. An error object is marked when it is sent, and `before_send` drops what is marked
already, so it is told once, whoever comes first. The Celery integration gives every job a scope of its own
(breadcrumbs of one job do not stand in another's event) but captures nothing: its wrapper around the task's call opens
a broker connection per job to name the broker in a span, which more than doubled the cost of Celery's tracing when
measured (0.8 ms against 0.3). The mark that the SDK itself puts on a wrapped task keeps it away; should a later SDK
ignore it, what it captures is dropped as a double.

**When.** Before `celery.worker.consumer.consumer` is imported, which binds `build_tracer` by name: while the module of
the Celery application is being imported, or from the `celeryd_init` signal. Later, the scopes above are missing, and a
warning says so.

**Integrations**, all named here, none enabled by themselves:

| integration | | why |
|---|---|---|
| celery | on | a scope per job; no trace headers on messages |
| logging | on | breadcrumbs from warnings; a logged error is no event |
| atexit, excepthook, threading | on | the last words of a dying process or housekeeping thread |
| dedupe | off | keyed by context; ours is keyed by the error |
| argv | off | `-b redis://:password@...` |
| modules | off | a list of packages in every event |
| stdlib | off | `sentry-trace` headers and breadcrumbs for http.client, tracing variables for child processes |
| aiohttp, httpx | off | would send `sentry-trace` and `baggage` to the CRM, and put its URLs into breadcrumbs |
| redis | off | a span and a breadcrumb per command |
| every other | off | not ours |
"""

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import celery.app.trace
import sentry_sdk
from celery.app.task import Task
from celery.signals import task_failure
from pydantic import SecretStr
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber
from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint
from sentry_sdk.utils import Dsn

from oppsync_worker.observe.observer import LOGGER_NAME, NoReports, Reports
from oppsync_worker.observe.reports import SentryReports, first_time, net
from oppsync_worker.observe.scrub import Scrubber
from oppsync_worker.version import release

MAX_BREADCRUMBS: Final = 20
EXIT_SECONDS: Final = 2.0
"""Longest wait for pending events when the process ends by itself."""

_DENYLIST: Final = ("apitoken", "api_token", "bearer", "dsn", "datalead", "email", "phone", "whatsapp", "cpf", "cnpj")


def init_sentry(
    dsn: str | None,
    *,
    environment: str,
    redact: Callable[[str], str],
    secrets: Iterable[SecretStr | str] = (),
    server_name: str | None = None,
    sample_rate: float = 1.0,
    traces_sample_rate: float | None = None,
) -> Reports:
    """Set up the SDK for this process and return where to report; without a DSN, a place that reports nothing.

    ValueError for a DSN that cannot be one. A Sentry that cannot be reached is no error: events are sent by a thread of
    the SDK, at most a hundred wait, the rest is dropped. `secrets` are taken out of every text; `sample_rate` is the
    share of events that is sent, `traces_sample_rate` that of jobs that are traced (None: tracing is off).
    """
    dsn = (dsn or "").strip()
    if not dsn:
        return NoReports()
    _check(dsn)
    scrubber = Scrubber(secrets=secrets, redact=redact)
    Task._sentry_is_patched = True  # noqa: SLF001  no wrapper around the task's call; see "Who captures"
    sentry_sdk.init(
        dsn=dsn,
        release=f"opportunity-sync@{release()}",
        environment=environment,
        server_name=server_name,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            CeleryIntegration(propagate_traces=False),
            LoggingIntegration(level=logging.WARNING, event_level=None, sentry_logs_level=None),
            AtexitIntegration(callback=lambda _pending, _seconds: None),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        # send_default_pii stays unset, which means False: newer SDKs warn when it is named at all, and its successor
        # data_collection switches the event scrubber off.
        include_local_variables=False,
        max_request_body_size="never",
        event_scrubber=EventScrubber(denylist=[*DEFAULT_DENYLIST, *_DENYLIST], recursive=True),
        before_send=_before_send(scrubber),
        before_send_transaction=lambda event, _hint: _as_event(scrubber.transaction(event)),
        before_breadcrumb=_before_breadcrumb(scrubber),
        max_breadcrumbs=MAX_BREADCRUMBS,
        ignore_errors=[KeyboardInterrupt],
        in_app_include=["oppsync_worker"],
        sample_rate=sample_rate,
        traces_sample_rate=traces_sample_rate,
        trace_propagation_targets=[],
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        shutdown_timeout=EXIT_SECONDS,
        debug=False,  # otherwise SENTRY_DEBUG decides, and the SDK prints what the scrubber is about to take out
        spotlight=False,  # otherwise SENTRY_SPOTLIGHT sends a copy of everything to another address
    )
    task_failure.connect(net, weak=False, dispatch_uid="oppsync_worker.observe.sentry")
    if _is_late():
        logging.getLogger(LOGGER_NAME).warning("Sentry was set up after Celery's consumer: jobs share one scope")
    return SentryReports()


def flush(timeout_s: float = EXIT_SECONDS) -> None:
    """Wait until pending events are sent, at most `timeout_s` seconds. Blocks: for the worker's shutdown only."""
    sentry_sdk.flush(timeout=timeout_s)


def _check(dsn: str) -> None:
    try:
        Dsn(dsn)
    except ValueError as error:
        # The DSN itself is not repeated: its key belongs to nobody's log.
        raise ValueError(
            "SENTRY_DSN is not a Sentry DSN; it looks like https://<key>@<host>/<project number>, or is left empty"
        ) from error


def _before_send(scrubber: Scrubber) -> Callable[[Event, Hint], Event | None]:
    def before_send(event: Event, hint: Hint) -> Event | None:
        found = hint.get("exc_info")
        error = found[1] if isinstance(found, tuple) else None
        if error is not None and not first_time(error):
            return None
        return _as_event(scrubber.event(event, error))

    return before_send


def _before_breadcrumb(scrubber: Scrubber) -> Callable[[Breadcrumb, BreadcrumbHint], Breadcrumb | None]:
    def before_breadcrumb(crumb: Breadcrumb, hint: BreadcrumbHint) -> Breadcrumb | None:
        try:
            return scrubber.breadcrumb(crumb, hint.get("log_record"))
        except Exception:  # noqa: BLE001  the SDK keeps the crumb as it was when this raises
            return None

    return before_breadcrumb


def _is_late() -> bool:
    consumer = sys.modules.get("celery.worker.consumer.consumer")
    return consumer is not None and consumer.build_tracer is not celery.app.trace.build_tracer


def _as_event(built: dict[str, Any]) -> Event:
    """A rebuilt event in the SDK's type, which is a TypedDict."""
    return cast("Event", built)
