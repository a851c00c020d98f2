"""The root logger of a worker process: one handler, one line per record, the same form for everybody's records.

Called once by whoever starts the process; inside a worker from Celery's `setup_logging` signal, which also keeps Celery
from adding handlers of its own (https://docs.celeryq.dev/en/stable/userguide/signals.html#setup-logging).
"""

import logging
import os
import sys
from typing import Final, Literal, TextIO

from oppsync_worker.observe.formatting import JsonLines, Redact, TextLines

LOWEST_LEVELS: Final = {
    "httpx": logging.WARNING,  # a line per request, with a URL that may carry a token in its query
    "httpcore": logging.WARNING,  # at DEBUG it writes out request headers
    "aiohttp.access": logging.WARNING,  # a line per request
    "urllib3": logging.WARNING,  # the Sentry transport's chatter
    "celery.worker.strategy": logging.WARNING,  # "Task ... received": our line per attempt says more
    "celery.app.trace": logging.WARNING,  # "Task ... succeeded in ...", and expected failures, both ours too
    "celery.pool": logging.INFO,  # at DEBUG it writes out every job's arguments
}
"""Loggers that never speak below this level, however low the root logger is set; why stands beside each."""


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes one line per record and never raises: a log that cannot be written must not stop the work.

    A stream that is gone is not reported either, since the log was the place to report it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write; what cannot be formatted leaves at least a trace of itself."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  formatting is total by intent; this is the net below
            line = (
                f'{{"level":"ERROR","event":"observer_failed","job_id":null,"instance":null,"line":{record.lineno:d}}}'
            )
        try:
            self.stream.write(_writable(line, self.stream) + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001, S110  closed, full or broken: see the docstring
            pass


def configure_logging(
    style: Literal["auto", "json", "text"] = "auto",
    level: str = "INFO",
    stream: TextIO | None = None,
    *,
    redact: Redact,
) -> None:
    """Make the root logger write to `stream` (stderr when None) and nowhere else; calling it again replaces it.

    `auto` is text on a terminal and JSON elsewhere. Text is coloured on a terminal unless NO_COLOR is set
    (https://no-color.org). `redact` sees every text that is not an identity, and may raise: then the text is withheld.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ValueError(f"the log level {level!r} is unknown; one of {', '.join(sorted(levels))}")
    threshold = levels[level.upper()]
    target = sys.stderr if stream is None else stream
    terminal = _is_terminal(target)
    handler = LineHandler(target)
    if style == "text" or (style == "auto" and terminal):
        handler.setFormatter(TextLines(redact=redact, colours=terminal and _wants_colours()))
    else:
        handler.setFormatter(JsonLines(redact=redact))
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name, lowest in LOWEST_LEVELS.items():
        logging.getLogger(name).setLevel(max(lowest, threshold))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # not a real file, or closed
        return False


def _wants_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _writable(line: str, stream: TextIO) -> str:
    """The line as the stream's encoding can carry it, so that no letter costs the whole line."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
