"""Any value as bounded, harmless text: nothing in here raises, whatever it is given.

Refuses to know what a secret is; that is what the `text` parameter is for.
"""

import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import Any, Final

MAX_TEXT_CHARS: Final = 2_000
"""Longest text in a line; the wire's own bound of a job (64 KiB) would make lines that log shippers cut in two."""

MAX_DEPTH: Final = 4
MAX_ITEMS: Final = 50

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""What can break a line, move a terminal's cursor, turn the reading direction, or not be encoded at all."""


def text_of(value: object) -> str:
    """`str(value)`, or a stand-in when that raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a hostile object may raise anything
        return f"<unprintable {type(value).__name__}>"


def one_line(text: str) -> str:
    """The text with every control character written out as an escape."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def clipped(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """At most `limit` characters, and an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def guarded(redact: Callable[[str], str]) -> Callable[[str], str]:
    """`redact` in a form that never raises: a text that could not be redacted is not shown."""

    def redacted(text: str) -> str:
        try:
            return redact(text)
        except Exception:  # noqa: BLE001  the text stays in, whatever happened
            return "<not redacted, withheld>"

    return redacted


def as_plain(value: object, text: Callable[[str], str], *, depth: int = MAX_DEPTH) -> Any:
    """The value as strict JSON knows it, bounded in depth, items and length; every text has passed through `text`."""
    match value:
        case None | bool():
            plain: Any = value
        case int():
            plain = int(value)
        case float():
            plain = float(value) if math.isfinite(value) else str(value)
        case datetime() | date():
            plain = value.isoformat()
        case Mapping() if depth > 0:
            pairs = list(value.items())[:MAX_ITEMS]
            plain = {clipped(text(text_of(key)), 200): as_plain(item, text, depth=depth - 1) for key, item in pairs}
        case list() | tuple() | AbstractSet() if depth > 0:
            plain = [as_plain(item, text, depth=depth - 1) for item in list(value)[:MAX_ITEMS]]
        case _:
            plain = clipped(text(text_of(value)))
    return plain
