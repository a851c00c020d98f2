"""Celery's request: one message in this worker. Here it cannot be ended by force, and shows nobody its job's texts."""

from typing import Any, Final

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Ignore
from celery.worker.request import Request as StockRequest

SHOWN: Final = ("instance", "lane")
"""What `celery inspect active` shows of a job; the rest can name people. `oppsync job show` has everything."""


class Request(StockRequest):  # type: ignore[misc]
    """A message whose job the ledger settles."""

    argsrepr = kwargsrepr = ""
    """What a stock producer wrote of its arguments is for logs and events: not for ours."""
    content_type = content_encoding = None
    """To the tracer: the body is read already."""

    @property
    def body(self) -> Any:
        """Arguments, fields, and what is to be called afterwards."""
        return self.message.payload

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002
        """The tracer's end without a success. A job that goes on elsewhere is, to who watches events, put back."""
        raised = exc_info.exception
        if isinstance(raised.exc if isinstance(raised, ExceptionWithTraceback) else raised, Ignore):
            self.send_event("task-retried", exception="the job goes on: see oppsync job show", traceback="")
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_retry(self, exc_info: Any) -> None:
        """Put back by its task; what the task raised may quote a customer."""
        if self.task.acks_late:
            self.acknowledge()
        error = type(exc_info.exception.exc).__name__ if exc_info.exception.exc else "Retry"
        self.send_event("task-retried", exception=error, traceback="")

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Not possible: a call that was sent cannot be called back, and what was not sent is only revoked."""

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """What remote control shows."""
        shown: dict[str, Any] = super().info(safe=True)
        kwargs = self.kwargs if isinstance(self.kwargs, dict) else {}
        return {**shown, "args": [], "kwargs": {name: kwargs[name] for name in SHOWN if name in kwargs}}
