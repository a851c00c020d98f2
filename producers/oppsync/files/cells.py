"""The text of one cell into the plain value that the contract expects of its field.

Decided by the field alone, never by what the text looks like. Only the form is judged here; ranges, lengths and
patterns are the contract's. An empty cell, and one of spaces where spaces mean nothing, is "not given": `None`.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from oppsync.files.amounts import DecimalMark, read_amount

Conversion = Callable[[str], Any]
"""Text to value, or `None` for "not given"; raises ValueError with words for a person."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DAY_FIRST: Final = re.compile(r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}\b.*", re.DOTALL)


def whole(text: str) -> int | None:
    """A whole number; `159.0` is refused, because a column of them is a column that a spreadsheet has spoilt."""
    text = text.strip()
    if not text:
        return None
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number such as 159")
    return int(text)


def moment(text: str) -> str | None:
    """A point in time, for the contract to read; `21/03/2024 18:27` gets an answer of its own."""
    text = text.strip()
    if _DAY_FIRST.fullmatch(text):
        raise ValueError("names no time zone: write 21/03/2024 18:27 in Brasilia as 2024-03-21T18:27:00-03:00")
    return text or None


def word(text: str) -> str | None:
    """A name in which spaces cannot occur."""
    return text.strip() or None


def exact(text: str) -> str | None:
    """A text in which every space counts."""
    return text or None


def amount_by(mark: DecimalMark) -> Conversion:
    """Amounts, with the given decimal mark."""

    def amount(text: str) -> Decimal | None:
        return read_amount(text, mark)

    return amount


def conversions(mark: DecimalMark) -> Mapping[str, Conversion]:
    """How the text of each field is read."""
    return MappingProxyType(
        {
            "kind": word,
            "instance": word,
            "funnel_id": whole,
            "opportunity_id": whole,
            "title": exact,
            "value": amount_by(mark),
            "crm_column": whole,
            "lead_id": whole,
            "sequence": whole,
            "status": word,
            "expectedCloseDate": moment,
            "user": whole,
            "job_id": word,
            "external_ref": exact,
            "idempotency_key": exact,
            "lane": word,
            "not_before": moment,
            "deadline": moment,
        }
    )


def text_conversions(mark: DecimalMark) -> Mapping[str, Conversion]:
    """The same for JSON, where only amounts and times are written as text: a quoted id stays a mistake."""
    return MappingProxyType({name: how for name, how in conversions(mark).items() if how is moment or name == "value"})
