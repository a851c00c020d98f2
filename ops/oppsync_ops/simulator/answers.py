"""What the simulator puts on the wire: answers as values, and the standard error answers.

An answer that is never sent is a value too (``Silence``), so that everything the dispatch decides can be looked at
before a socket is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from oppsync_ops.simulator.clock import http_date
from oppsync_ops.simulator.rendering import dump

JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html"
PLAIN: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    cut_bytes: int = 0
    """How many bytes of the body are promised by Content-Length but never sent."""
    skew_s: float = 0.0
    """Shift of the ``Date`` header."""

    def wire(self, now: float, *, close: bool, head_only: bool = False) -> bytes:
        """The bytes of the answer, ``now`` being the virtual epoch time of the ``Date`` header."""
        head = f"{_head(self.status, self.content_type, int(now + self.skew_s))}{len(self.body)}\r\n"
        for name, value in self.headers:
            head += f"{name}: {value}\r\n"
        if close or self.cut_bytes:
            head += "Connection: close\r\n"
        if head_only:
            return f"{head}\r\n".encode("latin-1")
        sent = self.body[: len(self.body) - self.cut_bytes] if self.cut_bytes else self.body
        return f"{head}\r\n".encode("latin-1") + sent


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer: the connection ends, politely (``fin``) or with a reset (``rst``), after ``hang_s`` seconds."""

    reset: bool = False
    hang_s: float = 0.0


def json_answer(status: int, document: Any) -> Answer:
    """A JSON answer."""
    return Answer(status, encoded(dump(document)))


def text_answer(text: str) -> Answer:
    """A 200 whose JSON is written already."""
    return Answer(200, encoded(text))


def encoded(text: str) -> bytes:
    """UTF-8, always: half a surrogate pair, which JSON can carry, becomes a question mark."""
    return text.encode("utf-8", "replace")


def not_routed(method: str, path: str) -> Answer:
    """The plain 404 of a path, or method, that does not exist."""
    shown = path if path.isprintable() else "that"
    return Answer(404, encoded(f"Cannot {method} {shown}"), PLAIN)


def page(status: int) -> Answer:
    """A gateway's HTML error page."""
    title = f"{status} {_reason(status)}"
    html = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, html.encode(), HTML)


@lru_cache(maxsize=256)
def _head(status: int, content_type: str, now: int) -> str:
    """The head of an answer up to the figure of its Content-Length."""
    return (
        f"HTTP/1.1 {status} {_reason(status)}\r\nDate: {http_date(now)}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: "
    )


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
