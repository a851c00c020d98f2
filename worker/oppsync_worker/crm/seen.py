"""What may be told of an answer: one redacted line, and never a document's content.

Of a JSON object only `msg` (create, sign-in, throttle) or `error` (update) is read, of an HTML page only its title, of
plain text only what cannot be a torn piece of JSON or HTML. A success answer, which carries the lead, tells nothing.
"""

import html
import re
from collections.abc import Iterable
from typing import Any, Final

from oppsync_worker.crm.body import NOT_JSON, Answer
from oppsync_worker.crm.redact import redact
from oppsync_worker.errors import Seen

_READ_BYTES: Final = 8_192
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_STRUCTURE: Final = re.compile(r"[{}\[\]<>\"]")


def seen_in(answer: Answer, document: Any, *, secrets: Iterable[str]) -> Seen:
    """What to tell of a refusal. `document` is the body as JSON, or `NOT_JSON`."""
    return Seen(answer.status, _line(answer, document, secrets))


def messages_of(document: Any) -> list[str]:
    """The words of a refusal: the texts under `msg` and `error`, singly or in a list."""
    if not isinstance(document, dict):
        return []
    values = [document.get("msg"), document.get("error")]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [text for text in texts if isinstance(text, str) and text.strip()]


def _line(answer: Answer, document: Any, secrets: Iterable[str]) -> str:
    if document is not NOT_JSON:
        return redact("; ".join(messages_of(document)), secrets=secrets) or "no message"
    text = answer.body[:_READ_BYTES].decode(errors="replace").strip().lstrip("\ufeff")
    if not text:
        return "empty answer"
    if text.startswith("<") or "html" in answer.headers.get("content-type", "").lower():
        title = _TITLE.search(text)
        words = redact(html.unescape(title[1]), secrets=secrets) if title else ""
        return redact(f"HTML page: {words}") if words else "HTML page without a title"
    if _STRUCTURE.search(text):
        return "unreadable answer"
    return redact(text, secrets=secrets)
