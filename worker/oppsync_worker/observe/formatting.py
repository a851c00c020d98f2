"""A log record as one line: JSON for machines, a short line for a person at a terminal.

Fields come with `extra={"fields": {...}}`; a record without them is somebody else's and gets the event `log`. Job id
and instance stand in every line, taken from the fields or from the job at hand. Texts pass through `redact`, identities
(`VERBATIM`) do not, since a job's id may look like a token. Local variables are never shown.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from oppsync_worker.observe.context import job_context
from oppsync_worker.observe.plain import as_plain, clipped, guarded, one_line, text_of

VERBATIM: Final = frozenset({"event", "job_id", "instance", "kind", "lane", "verdict", "state"})
"""Fields whose texts are ours and are not redacted."""

MAX_FRAMES: Final = 20
MAX_CAUSES: Final = 5

_COLOURS: Final = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31", "DEBUG": "2"}

Redact = Callable[[str], str]


def entry_of(record: logging.LogRecord, redact: Redact) -> dict[str, Any]:
    """The record as plain values; `redact` must not raise."""
    given = getattr(record, "fields", None)
    fields: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    job = job_context.get()
    entry: dict[str, Any] = {
        "time": _iso(record.created),
        "level": record.levelname,
        "logger": record.name,
        "event": fields.get("event") or "log",
        "job_id": fields.get("job_id") or (job.job_id if job else None),
        "instance": fields.get("instance") or (job.instance if job else None),
    }
    entry = {name: as_plain(value, str) for name, value in entry.items()}
    for name, value in fields.items():
        entry.setdefault(text_of(name), as_plain(value, str if name in VERBATIM else redact))
    if "message" not in entry and not (fields and record.msg == entry["event"]):
        entry["message"] = clipped(redact(_message(record)))
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is not None:
        told = told_of(error, record.exc_info[2] if record.exc_info else None, redact)
        entry.update({name: value for name, value in told.items() if entry.get(name) is None})
    return entry


def told_of(error: BaseException, traceback: TracebackType | None, redact: Redact) -> dict[str, Any]:
    """An error's class, its redacted text, where it came from (innermost last), and what caused it."""
    return {
        "error": type(error).__name__,
        "error_message": clipped(redact(text_of(error))),
        "stack": [*_frames(traceback)][-MAX_FRAMES:],
        "caused_by": [f"{type(cause).__name__}: {clipped(redact(text_of(cause)), 300)}" for cause in _causes(error)],
    }


class JsonLines(logging.Formatter):
    """One JSON object per record, in ASCII: no stream's encoding and no reader's idea of a line end can break it."""

    def __init__(self, *, redact: Redact) -> None:
        super().__init__()
        self._redact = guarded(redact)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of strict JSON."""
        return json.dumps(entry_of(record, self._redact), allow_nan=False, separators=(",", ":"))


class TextLines(logging.Formatter):
    """One short line per record: local time, level, event, text, then what is known as `name=value`."""

    def __init__(self, *, redact: Redact, colours: bool) -> None:
        super().__init__()
        self._redact = guarded(redact)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line for a person."""
        entry = entry_of(record, self._redact)
        level, event, name = entry.pop("level"), entry.pop("event"), entry.pop("logger")
        message = entry.pop("message", None)
        entry.pop("time")
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        what = name if event == "log" else event
        known = [f"{key}={_shown(value)}" for key, value in entry.items() if value not in (None, [], {})]
        parts = [clock, self._paint(f"{level:<7}", level), one_line(what), *([one_line(message)] if message else [])]
        return "  ".join([*parts, self._dim(one_line(" ".join(known)))] if known else parts)

    def _paint(self, text: str, level: str) -> str:
        code = _COLOURS.get(level)
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code else text

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colours else text


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  arguments that do not fit, or cannot be printed, cost the arguments only
        return f"{text_of(record.msg)} (its arguments could not be printed)"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    """Read by name and with care: Celery hands over stand-ins for tracebacks that crossed a process."""
    step: Any = traceback
    while step is not None:
        frame = getattr(step, "tb_frame", None)
        code = getattr(frame, "f_code", None)
        module = getattr(frame, "f_globals", {}).get("__name__", "?")
        yield f"{module}.{getattr(code, 'co_name', '?')}:{getattr(step, 'tb_lineno', '?')}"
        step = getattr(step, "tb_next", None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    for _ in range(MAX_CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield cause
        error = cause
