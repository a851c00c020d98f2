"""The observer: what the worker tells of its jobs. It never breaks one.

Whatever goes wrong in here (an error whose text raises, a full disk, Sentry away, a fault of our own) costs the line or
the report and nothing else; the caller needs no `try`. One attempt leaves one line. Sentry hears of a job twice at
most: when it is buried, and when an error nobody foresaw stood behind it. A retry is no news for it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, Protocol

from oppsync_worker.observe.lines import LOUD, LOUD_VERDICTS, AttemptLine, registered

LOGGER_NAME: Final = "oppsync_worker"


class Reports(Protocol):
    """Where dead letters and unexpected errors are reported, beside the log."""

    def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
        """A job was buried."""

    def alarm(self, event: str, *, job_id: str | None, instance: str | None, detail: str) -> None:
        """A person must look into something; `event` is registered, `detail` one redacted line."""

    def unexpected(
        self, error: BaseException, *, job_id: str | None, instance: str | None, kind: str | None, lane: str | None
    ) -> None:
        """An error nobody foresaw; the same error object is reported once, however often it is handed in."""


class NoReports:
    """No error reporting is configured: the log has everything."""

    def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
        """Nothing."""

    def alarm(self, event: str, *, job_id: str | None, instance: str | None, detail: str) -> None:
        """Nothing."""

    def unexpected(
        self, error: BaseException, *, job_id: str | None, instance: str | None, kind: str | None, lane: str | None
    ) -> None:
        """Nothing."""


class Observer:
    """Writes the lines and hands on the reports."""

    def __init__(self, *, reports: Reports | None = None) -> None:
        self._reports: Reports = NoReports() if reports is None else reports
        self._logger = logging.getLogger(LOGGER_NAME)

    def attempt(self, line: AttemptLine) -> None:
        """One attempt ended."""
        with self._unbroken("attempt"):
            self._write(logging.WARNING if line.verdict in LOUD_VERDICTS else logging.INFO, line.as_fields())

    def buried(self, line: AttemptLine, *, detail: str) -> None:
        """A job became a dead letter: one line and one report. `detail` is one redacted line."""
        with self._unbroken("buried"):
            self._write(logging.ERROR, {**replace(line, event="buried").as_fields(), "detail": detail})
        with self._unbroken("buried"):
            self._reports.dead_letter(line, detail=detail)

    def unexpected(
        self,
        error: BaseException,
        *,
        job_id: str | None,
        instance: str | None,
        kind: str | None,
        lane: str | None = None,
    ) -> None:
        """An error nobody foresaw: one line with its stack, and one report.

        Burying the job for it (cause `internal`) is a second fact, told by `buried`.
        """
        with self._unbroken("unexpected"):
            fields = {"event": "unexpected", "job_id": job_id, "instance": instance, "kind": kind, "lane": lane}
            self._write(logging.ERROR, fields, error)
        with self._unbroken("unexpected"):
            self._reports.unexpected(error, job_id=job_id, instance=instance, kind=kind, lane=lane)

    def notice(self, event: str, **fields: Any) -> None:
        """Something else happened; an event that is not registered becomes `observer_failed`, which tests look for."""
        with self._unbroken(event):
            level = logging.WARNING if registered(event) in LOUD else logging.INFO
            self._write(level, {**fields, "event": event})

    def alarm(self, event: str, *, job_id: str | None = None, instance: str | None = None, detail: str) -> None:
        """Something that is no failure of one attempt and that a person must look into: one line and one report."""
        self.notice(event, job_id=job_id, instance=instance, detail=detail)
        with self._unbroken(event):
            self._reports.alarm(event, job_id=job_id, instance=instance, detail=detail)

    def _write(self, level: int, fields: dict[str, Any], error: BaseException | None = None) -> None:
        exc_info = None if error is None else (type(error), error, error.__traceback__)
        self._logger.log(level, fields["event"], extra={"fields": fields}, exc_info=exc_info)

    @contextmanager
    def _unbroken(self, what: object) -> Iterator[None]:
        """Let no `Exception` out; cancellation and the end of the process are not ours to keep."""
        try:
            yield
        except Exception as failure:  # noqa: BLE001  the job belongs to the caller and goes on
            with suppress(Exception):
                fields = {"event": "observer_failed", "what": what, "error": type(failure).__name__}
                self._write(logging.ERROR, fields, failure)
