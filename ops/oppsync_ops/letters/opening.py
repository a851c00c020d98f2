"""A letter's job for the eyes of an operator: what may be a person's data is masked unless it is asked for.

A value is shown when its field is one of those that hold ids, amounts, times or words of our own, and when it looks
like one; everything else (titles, custom fields, fields that no job has) is told by its kind and length only.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from oppsync_worker.contract.errors import NotAJob
from oppsync_worker.contract.wire import Envelope

_SHOWN: Final = frozenset(
    {
        "v",
        "instance",
        "funnel_id",
        "opportunity_id",
        "value",
        "crm_column",
        "lead_id",
        "sequence",
        "status",
        "expectedCloseDate",
        "expected_close_date",
        "user",
        "lane",
        "not_before",
        "deadline",
    }
)
_KEYS: Final = frozenset({"job_id", "external_ref", "idempotency_key"})
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._:+\-]{1,64}")
"""Ids, amounts, times and single words."""

_TOLD: Final = (
    _SHOWN
    | _KEYS
    | frozenset(
        re.findall(
            r"\w+",
            """
        application argsrepr body body_encoding content correlation_id create delivery_info delivery_mode delivery_tag
        encoding errbacks eta exchange expires false fields group headers id json kwargsrepr lang null opportunities
        origin parent_id priority properties reply_to retries root_id routing_key shadow task timelimit title true
        type update utf
        """,
        )
    )
)
"""Words of Celery's messages and names of our fields: they show the shape of what is no job, and nothing of anybody."""
_WORD: Final = re.compile(r"\\(?:x[0-9a-f]{2}|[nrt\\])|[A-Za-z0-9_]+")

RAW_SHOWN_BYTES: Final = 240
RAW_REVEALED_BYTES: Final = 4096


def opened(message: bytes | None, *, reveal: bool) -> dict[str, Any]:
    """The job in a message as plain JSON values, or the bytes that are none: `{"job": ...}` or `{"raw": ...}`."""
    if message is None:
        return {"job": None}
    try:
        envelope = Envelope.open(message)
    except NotAJob:
        return {"raw": escaped(message, most=RAW_REVEALED_BYTES) if reveal else outlined(message)}
    return {"job": _plain(envelope.fields) if reveal else masked(envelope.fields)}


def masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a job, without what may be personal."""
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "fields" and isinstance(value, dict):
            shown[name] = {key: _mask(item) for key, item in value.items()}
        elif name in _KEYS or (name in _SHOWN and _is_harmless(value)):
            shown[name] = _plain(value)
        else:
            shown[name] = _mask(value)
    return shown


def outlined(raw: bytes) -> str:
    """The shape of bytes: what no job could be read from may be a broken one, with a person's name in it."""

    def told(word: re.Match[str]) -> str:
        return word[0] if word[0] in _TOLD or word[0].startswith("\\") else "*" * len(word[0])

    text = _WORD.sub(told, escaped(raw[:RAW_SHOWN_BYTES], most=RAW_SHOWN_BYTES))
    return _counted(text, len(raw) - RAW_SHOWN_BYTES)


def escaped(raw: bytes, *, most: int) -> str:
    """Bytes as text in which nothing but plain ASCII is left as it is; what is beyond `most` is counted."""
    text = raw[:most].decode("latin-1").encode("unicode_escape").decode("ascii")
    return _counted(text, len(raw) - most)


def _counted(text: str, more: int) -> str:
    return text if more <= 0 else f"{text}... ({more} more bytes)"


def _plain(value: Any) -> Any:
    """The value without NaN and Infinity, which Python reads and writes, and over which other programs fall."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


def _is_harmless(value: object) -> bool:
    if isinstance(value, str):
        return _HARMLESS.fullmatch(value) is not None
    return value is None or isinstance(value, bool | int | float)


def _mask(value: object) -> str:
    match value:
        case str():
            return f"(text of {len(value)} characters)"
        case bool():
            return "(yes or no)"
        case int() | float():
            return "(a number)"
        case None:
            return "(nothing)"
    return "(something else)"
