"""What Sentry is told: one event per dead letter, one per unexpected error, each error object once.

`Observer` calls `SentryReports`; `net` hangs on Celery's `task_failure` signal for errors that the observer never saw.
Both go to the Sentry client of this process, which `sentry.init_sentry` sets up; without one they go nowhere.
"""

import sys
from dataclasses import asdict
from typing import Any, Final

import sentry_sdk
from celery.exceptions import Ignore, Reject, Retry

from oppsync_worker.observe.context import job_context
from oppsync_worker.observe.lines import EVENTS, AttemptLine
from oppsync_worker.observe.observer import LOGGER_NAME

_REPORTED: Final = "_oppsync_reported"
"""Mark on an error object that was sent."""


class SentryReports:
    """Reports to the Sentry client of this process."""

    def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
        """One event per dead letter; the group is made of what an operator would mend together."""
        why = f"HTTP {line.status}" if line.status is not None else line.error
        cause = line.cause or "unknown"
        tags = {
            "instance": line.instance,
            "kind": line.kind,
            "job_id": line.job_id,
            "lane": line.lane,
            "cause": cause,
            "attempt": line.attempt,
        }
        left_out = {*tags, "event", "message"}
        context = {name: value for name, value in asdict(line).items() if name not in left_out and value is not None}
        sentry_sdk.capture_event(
            {
                "message": f"dead letter: {cause} ({why})" if why else f"dead letter: {cause}",
                "level": "error",
                "logger": LOGGER_NAME,
                "fingerprint": ["dead", cause, line.kind or "unknown", str(line.status or line.error or "none")],
                "tags": {name: str(value) for name, value in tags.items() if value is not None},
                "contexts": {"dead_letter": {**context, "detail": detail}},
            }
        )

    def alarm(self, event: str, *, job_id: str | None, instance: str | None, detail: str) -> None:
        """One event per alarm, grouped by what it is about."""
        tags = {"instance": instance, "job_id": job_id, "cause": event}
        sentry_sdk.capture_event(
            {
                "message": f"{event}: {EVENTS[event]}",
                "level": "warning",
                "logger": LOGGER_NAME,
                "fingerprint": ["alarm", event, instance or "none"],
                "tags": {name: value for name, value in tags.items() if value is not None},
                "contexts": {"alarm": {"detail": detail}},
            }
        )

    def unexpected(
        self, error: BaseException, *, job_id: str | None, instance: str | None, kind: str | None, lane: str | None
    ) -> None:
        """One event per unexpected error, with its stack; Sentry groups by the stack."""
        tags = {"instance": instance, "kind": kind, "job_id": job_id, "lane": lane, "cause": "unexpected"}
        with sentry_sdk.new_scope() as scope:
            scope.set_tags({name: value for name, value in tags.items() if value is not None})
            try:
                sentry_sdk.capture_exception(error)
            except Exception:  # noqa: BLE001  an error that cannot even be looked at: its class must do
                if first_time(error):
                    one = {"type": type(error).__name__, "module": type(error).__module__}
                    sentry_sdk.capture_event({"level": "error", "exception": {"values": [one]}})


def first_time(error: BaseException) -> bool:
    """Mark the error as sent, and say whether it was not so already.

    An error that takes no mark is sent twice rather than never.
    """
    try:
        marks = error.__dict__
        if _REPORTED in marks:
            return False
        marks[_REPORTED] = True
    except Exception:  # noqa: BLE001, S110  a hostile error
        pass
    return True


def net(sender: Any = None, task_id: str | None = None, exception: Any = None, **_: Any) -> None:
    """The net: a task failed with an error that the observer did not see. Expected failures are no errors."""
    original = sys.exc_info()[1] or exception  # Celery hands over a stand-in for an error that cannot be pickled
    throws = getattr(sender, "throws", ())
    if not isinstance(original, Exception) or isinstance(original, (Retry, Ignore, Reject, *_classes(throws))):
        return
    job = job_context.get()
    SentryReports().unexpected(
        original,
        job_id=task_id,
        instance=job.instance if job else None,
        kind=getattr(sender, "name", None),
        lane=job.lane if job else None,
    )


def _classes(throws: Any) -> tuple[type, ...]:
    return tuple(throws) if isinstance(throws, (tuple, list)) else (throws,)
