"""The log as it is written: one record, one line, whatever the record is."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import pytest

from oppsync_worker.observe.context import handling
from oppsync_worker.observe.formatting import JsonLines
from oppsync_worker.observe.logs import LOWEST_LEVELS, configure_logging

Lines = Callable[[], list[dict[str, Any]]]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def redact(text: str) -> str:
    """Hides one word."""
    return text.replace("hunter2", "[secret]")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LOWEST_LEVELS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)


@pytest.fixture
def lines() -> Lines:
    """What was written as JSON so far."""
    stream = io.StringIO()
    configure_logging("json", "DEBUG", stream, redact=redact)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def text_of(style: Literal["auto", "text"], stream: io.StringIO) -> Callable[[], str]:
    """Log in text and say what was written."""
    configure_logging(style, "INFO", stream, redact=redact)
    return stream.getvalue


def test_a_line_has_its_time_in_utc_and_its_fields(lines: Lines) -> None:
    """Fields stand at the top, after what every line has."""
    logging.getLogger("oppsync_worker").info("attempt", extra={"fields": {"event": "attempt", "status": 201}})

    (entry,) = lines()

    assert list(entry) == ["time", "level", "logger", "event", "job_id", "instance", "status"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert datetime.fromisoformat(entry["time"])
    assert (entry["level"], entry["event"], entry["status"]) == ("INFO", "attempt", 201)


def test_lines_of_libraries_take_the_same_form_and_name_the_job(lines: Lines) -> None:
    """Whatever is logged while a job is handled carries its id and instance."""
    with handling("j1", instance="acme"):
        logging.getLogger("kombu.connection").warning("lost %s with hunter2", "redis")
    logging.getLogger("redis").warning("later")

    during, after = lines()

    assert (during["event"], during["job_id"], during["instance"]) == ("log", "j1", "acme")
    assert during["message"] == "lost redis with [secret]"
    assert (after["job_id"], after["instance"]) == (None, None)


def test_fields_of_a_line_win_over_the_job_at_hand(lines: Lines) -> None:
    """A line about another job is about that job; the line's own head cannot be overwritten."""
    with handling("j1", instance="acme"):
        logging.getLogger("x").info("?", extra={"fields": {"job_id": "j2", "level": "GOOD", "time": "never"}})

    (entry,) = lines()

    assert (entry["job_id"], entry["instance"], entry["level"]) == ("j2", "acme", "INFO")
    assert entry["time"] != "never"


def test_an_error_shows_class_text_and_a_stack_without_locals(lines: Lines) -> None:
    """The text is redacted; causes are named."""

    def fails() -> None:
        planted = "in-a-local"
        try:
            dict[str, str]()[planted[:0] + "hunter2"]
        except KeyError as error:
            raise ValueError("no hunter2\nat all") from error

    try:
        fails()
    except ValueError:
        logging.getLogger("x").exception("it failed")

    (entry,) = lines()

    assert (entry["error"], entry["error_message"]) == ("ValueError", "no [secret]\nat all")
    assert re.fullmatch(r".*test_logs\.fails:\d+", entry["stack"][-1])
    assert entry["caused_by"] == ["KeyError: '[secret]'"]
    assert "in-a-local" not in json.dumps(entry)


class Hostile(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    ("message", "args", "fields", "expected"),
    [
        ("%d things", ("three",), None, "%d things"),
        ("%s %s", (1,), None, "arguments could not be printed"),
        ("got %s", (Hostile(),), None, "got %s"),
        (Hostile(), (), None, "<unprintable Hostile>"),
        ("x", (), {"a": Hostile(), Hostile: 1, "nan": float("inf")}, "<unprintable Hostile>"),
        ("x", (), ["not a mapping"], "x"),
        ("half a letter \ud800", (), None, "ud800"),
    ],
)
def test_a_broken_record_is_still_one_line(
    style: Literal["json", "text"], message: object, args: tuple[object, ...], fields: object, expected: str
) -> None:
    """Nothing a caller logs can raise, or vanish."""
    stream = io.StringIO()
    configure_logging(style, "INFO", stream, redact=redact)

    logging.getLogger("x").info(message, *args, extra={"fields": fields})

    assert len(stream.getvalue().splitlines()) == 1
    assert expected in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "text"])
def test_an_error_that_cannot_be_printed_is_still_one_line(style: Literal["json", "text"]) -> None:
    """Its class is told."""
    stream = io.StringIO()
    configure_logging(style, "INFO", stream, redact=redact)

    logging.getLogger("x").error("it failed", exc_info=Hostile())

    assert len(stream.getvalue().splitlines()) == 1
    assert "Hostile" in stream.getvalue()


def test_a_stream_that_is_gone_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even on stderr, where the standard library would print the record unredacted."""
    stream = io.StringIO()
    configure_logging("json", "INFO", stream, redact=redact)
    stream.close()

    logging.getLogger("x").error("hunter2")

    assert capsys.readouterr().err == ""


def test_a_formatter_that_fails_leaves_a_trace() -> None:
    """The net below the net."""
    stream = io.StringIO()
    configure_logging("json", "INFO", stream, redact=redact)
    handler = logging.getLogger().handlers[0]
    handler.setFormatter(None)
    handler.format = lambda record: str(record.lineno // 0)  # type: ignore[method-assign]

    logging.getLogger("x").error("anything")

    assert json.loads(stream.getvalue())["event"] == "observer_failed"


def test_text_is_one_line_with_what_is_known() -> None:
    """Nulls are left out; values with blanks or control characters are quoted."""
    written = text_of("text", io.StringIO())
    fields = {"event": "attempt", "job_id": "j1", "status": None, "message": "a\nb", "what": "two words", "ms": 5}

    logging.getLogger("oppsync_worker").warning("attempt", extra={"fields": fields})

    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3}  WARNING  attempt  a\\nb  job_id=j1 what="two words" ms=5\n', written()
    ), written()


def test_text_cannot_be_forged() -> None:
    """A message with line ends, escapes or line separators stays one line and moves no cursor."""
    written = text_of("text", io.StringIO())

    logging.getLogger("celery\nx").warning("a\r\n12:00:00.000  ERROR  buried\x1b[2J\u2028 %s", "\n")

    assert len(written().splitlines()) == 1
    assert "\x1b" not in written()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_coloured_text_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch, no_color: str, *, coloured: bool
) -> None:
    """NO_COLOR counts when it is not empty (https://no-color.org)."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    written = text_of("auto", Terminal())

    logging.getLogger("x").warning("hello")

    assert ("\x1b[33m" in written()) is coloured
    assert "hello" in written()


def test_without_a_terminal_auto_is_json() -> None:
    """And a file is no terminal."""
    written = text_of("auto", io.StringIO())

    logging.getLogger("x").warning("hello")

    assert json.loads(written())["message"] == "hello"


def test_a_letter_the_stream_cannot_carry_costs_only_itself() -> None:
    """A worker in the C locale still logs."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    configure_logging("text", "INFO", stream, redact=redact)

    logging.getLogger("x").warning("não")
    stream.flush()

    assert b"n\\xe3o" in raw.getvalue()


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", logging.WARNING), ("ERROR", logging.ERROR)])
def test_chatty_loggers_stay_quiet(level: str, expected: int) -> None:
    """Neither below WARNING when all is shown, nor louder than the rest when little is."""
    configure_logging("json", level, io.StringIO(), redact=redact)

    for name in ("httpx", "httpcore.http11", "aiohttp.access", "celery.worker.strategy", "celery.app.trace"):
        assert logging.getLogger(name).getEffectiveLevel() == expected, name


def test_set_up_twice_writes_once() -> None:
    """The root logger has one handler, and it is ours."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging("json", "INFO", first, redact=redact)
    configure_logging("json", "info", second, redact=redact)

    logging.getLogger("x").info("hello")

    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_an_unknown_level_is_refused_by_name() -> None:
    """With the levels that are known."""
    with pytest.raises(ValueError, match=r"the log level 'LOUD' is unknown; one of .*WARNING"):
        configure_logging("json", "LOUD", io.StringIO(), redact=redact)


def test_a_redactor_that_fails_withholds_the_text() -> None:
    """The line is written; identities stay readable."""

    def broken(text: str) -> str:
        raise RuntimeError(text)

    record = logging.LogRecord("x", logging.INFO, __file__, 1, "hunter2", None, None)
    record.fields = {"event": "attempt", "job_id": "j1", "detail": "hunter2"}

    line = JsonLines(redact=broken).format(record)

    assert json.loads(line)["job_id"] == "j1"
    assert "hunter2" not in line


def test_stderr_is_where_the_log_goes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is when the function is called, not when the module was imported."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    configure_logging("json", "INFO", redact=redact)
    logging.getLogger("x").info("hello")

    assert json.loads(stream.getvalue())["message"] == "hello"
