"""The observer never breaks a job."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from oppsync_worker.observe.lines import AttemptLine
from oppsync_worker.observe.observer import Observer

LINE = AttemptLine(
    job_id="j1",
    instance="acme",
    kind="opportunities.create",
    lane="bulk",
    verdict="bury",
    state="dead",
    cause="rejected",
    status=400,
)


@dataclass
class Recorder:
    """Remembers what it was told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
        """Remember."""
        self.told.append(("dead", line, detail))

    def unexpected(
        self, error: BaseException, *, job_id: str | None, instance: str | None, kind: str | None, lane: str | None
    ) -> None:
        """Remember."""
        self.told.append(("unexpected", error, job_id, instance, kind, lane))


class Broken:
    """Fails at everything."""

    def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
        """Fail."""
        raise ConnectionError(line, detail)

    def unexpected(self, error: BaseException, **_: object) -> None:
        """Fail."""
        raise ConnectionError(error)


class Hostile(Exception):
    """Nothing about it works."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and event of every line."""
    return [(record.levelno, record.fields["event"]) for record in caplog.records]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("verdict", "level"), [("succeeded", logging.INFO), ("retry", logging.INFO), ("in_doubt", logging.WARNING)]
)
def test_an_attempt_is_one_line_and_no_report(caplog: pytest.LogCaptureFixture, verdict: str, level: int) -> None:
    """Whatever its verdict; a warning when a person may be needed."""
    caplog.set_level(logging.DEBUG, "oppsync_worker")
    recorder = Recorder()

    Observer(reports=recorder).attempt(AttemptLine(**{**LINE.as_fields(), "verdict": verdict}))

    assert events(caplog) == [(level, "attempt")]
    assert recorder.told == []


def test_a_burial_is_one_line_and_one_report(caplog: pytest.LogCaptureFixture) -> None:
    """The line has the fields of the attempt and the detail."""
    recorder = Recorder()

    Observer(reports=recorder).buried(LINE, detail="HTTP 400: bad column")

    assert events(caplog) == [(logging.ERROR, "buried")]
    assert caplog.records[0].fields["detail"] == "HTTP 400: bad column"  # type: ignore[attr-defined]
    assert recorder.told == [("dead", LINE, "HTTP 400: bad column")]


def test_an_unexpected_error_is_one_line_and_one_report(caplog: pytest.LogCaptureFixture) -> None:
    """With the error itself, for its stack."""
    recorder, error = Recorder(), ValueError("x")

    Observer(reports=recorder).unexpected(error, job_id="j1", instance="acme", kind="k", lane="bulk")

    assert events(caplog) == [(logging.ERROR, "unexpected")]
    assert recorder.told == [("unexpected", error, "j1", "acme", "k", "bulk")]


def test_reports_that_fail_cost_the_report_only(caplog: pytest.LogCaptureFixture) -> None:
    """The line is written before, the failure after."""
    observer = Observer(reports=Broken())

    observer.buried(LINE, detail="d")
    observer.unexpected(ValueError("x"), job_id="j1", instance=None, kind=None)

    said = [event for _, event in events(caplog)]
    assert said == ["buried", "observer_failed", "unexpected", "observer_failed"]


@pytest.mark.parametrize("make", [lambda: None, str, Hostile], ids=["None", "text", "hostile"])
def test_nonsense_in_nothing_out(make: Callable[[], Any]) -> None:
    """Arguments that are no lines, errors that cannot be looked at."""
    observer, broken = Observer(reports=Broken()), make()

    observer.attempt(broken)
    observer.buried(broken, detail=broken)
    observer.unexpected(broken, job_id=broken, instance=broken, kind=broken)
    observer.notice(broken, field=broken)


def test_an_unregistered_notice_is_told_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """It breaks no job, and no test overlooks it."""
    Observer().notice("made_up", anything=1)

    assert events(caplog) == [(logging.ERROR, "observer_failed")]
    assert caplog.records[0].fields["what"] == "made_up"  # type: ignore[attr-defined]


def test_notices_are_as_loud_as_registered(caplog: pytest.LogCaptureFixture) -> None:
    """A hold is a warning, being ready is not."""
    caplog.set_level(logging.INFO, "oppsync_worker")
    observer = Observer()

    observer.notice("worker_ready", concurrency=5)
    observer.notice("held", instance="acme")

    assert events(caplog) == [(logging.INFO, "worker_ready"), (logging.WARNING, "held")]


def test_a_logging_that_fails_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the failure cannot be logged either."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(logging.getLogger("oppsync_worker"), "log", fail)
    recorder = Recorder()

    Observer(reports=recorder).buried(LINE, detail="d")

    assert len(recorder.told) == 1


def test_cancellation_is_not_swallowed() -> None:
    """The end of the process is not the observer's to keep."""

    class Cancelling(Broken):
        def dead_letter(self, line: AttemptLine, *, detail: str) -> None:
            raise KeyboardInterrupt(line, detail)

    with pytest.raises(KeyboardInterrupt):
        Observer(reports=Cancelling()).buried(LINE, detail="d")
