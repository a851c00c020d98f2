"""The few fields of an answer that may be kept.

SprintHub answers a create with the whole lead: names, phones, addresses, even a password in its own sample. So each
kept field is picked by name *and* by shape: a text that is no amount, status or time is dropped.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from html import unescape
from typing import Any, Final, Self

from oppsync_worker.contract.fields import MAX_ID
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.marks import Mark, mark_in

Scalar = int | str

_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_FIGURE: Final = re.compile(r"[ \t]*([0-9]{1,16})(?:\.[0-9]{0,40})?[ \t]*", re.ASCII)
_AMOUNT: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,10})?")
_LEAST_MARKER: Final = 8
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


class Names(StrEnum):
    """By what a success names the call that it answers; what names nothing may be the answer to another call."""

    NOTHING = "nothing"
    RECORD = "record"
    """A create's lead and column, an update's id: other calls may have had the same."""
    MARKER = "marker"
    """The job's own id."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a record in the CRM: its id, and those of the whitelisted fields that the answer showed."""

    opportunity_id: int
    kept: dict[str, Scalar] = field(default_factory=dict)
    marker_landed: bool | None = None
    """Whether a create's answer shows our marker in its field. False: it was dropped, and the record could not be found
    by it. None: no marker was sent, or the answer does not show what became of it."""
    names: Names = field(default=Names.NOTHING, compare=False)
    status: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must agree with: the request's own facts."""

    kind: Kind
    opportunity_id: int | None = None
    lead_id: int | None = None
    crm_column: int | None = None
    marker: str | None = None
    marker_field: str | None = None
    title: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        job: AnyJob,
        *,
        opportunity_id: int | None = None,
        marker: str | None = None,
        marker_field: str | None = None,
    ) -> Self:
        """The facts of one request."""
        return cls(job.kind, opportunity_id, job.lead_id, job.crm_column, marker, marker_field, job.title)


class Unreadable(ValueError):
    """A success answer that proves nothing; its text names what is missing and repeats no value."""


def read_record(document: Any, expected: Expected, *, status: int | None = None) -> Record:
    """What a success answer says of the record; `status` is the answer's.

    A create counts only with a positive integer `id` (a digit string, or `data.id`, will do), and only if `lead_id`,
    `crm_column`, the title and the marker, where the answer shows them, are those of the request: the documented answer
    has them, but their absence beside a readable id is no evidence against it. An update, whose id is known, counts as
    soon as the answer is a JSON object which neither names another record nor has the shape of a refusal (`error`
    without `data`).

    Raises:
        Unreadable: when the answer does not prove the success that its status claims.
    """
    if not isinstance(document, dict):
        raise Unreadable("not a JSON object")
    inner = document.get("data")
    shown = document if integer(document.get("id")) or not isinstance(inner, dict) else inner
    found = integer(shown.get("id"))
    if expected.kind is Kind.CREATE:
        return _created(shown, found, expected, status)
    if "error" in document and not isinstance(inner, dict):
        raise Unreadable("an error inside a success")
    if found and expected.opportunity_id and found != expected.opportunity_id:
        raise Unreadable("another id than was sent")
    opportunity_id = expected.opportunity_id or found
    if not opportunity_id:
        raise Unreadable("no id")
    named = Names.RECORD if found and found == expected.opportunity_id else Names.NOTHING
    return Record(opportunity_id, whitelisted(shown), names=named, status=status)


def _created(shown: Mapping[str, Any], found: int | None, expected: Expected, status: int | None) -> Record:
    if not found:
        raise Unreadable("no id")
    for name, sent in (("lead_id", expected.lead_id), ("crm_column", expected.crm_column)):
        echo = shown.get(name)
        if sent is not None and echo is not None and integer(echo) != sent:
            raise Unreadable(f"another {name} than was sent")
    mark = mark_in(shown.get("fields"), marker_field=expected.marker_field, marker=expected.marker)
    if mark is Mark.OTHER and not _cut_short(shown["fields"][expected.marker_field], expected.marker):
        raise Unreadable("another job's marker")
    if mark is not Mark.OURS and not _resembles(shown.get("title"), expected.title):
        raise Unreadable("another title than was sent")
    landed = None if mark is Mark.UNKNOWN else mark is Mark.OURS
    return Record(found, whitelisted(shown), landed, _names(shown, expected, mark), status)


def _names(shown: Mapping[str, Any], expected: Expected, mark: Mark) -> Names:
    if mark is Mark.OURS:
        return Names.MARKER
    both = expected.lead_id is not None and None not in (shown.get("lead_id"), shown.get("crm_column"))
    return Names.RECORD if both else Names.NOTHING


def _cut_short(shown: Any, marker: str | None) -> bool:
    """Whether a field that is too short for a marker would show ours so: that one is only useless."""
    text = str(shown).strip().casefold()
    return len(text) >= _LEAST_MARKER and (marker or "").casefold().startswith(text)


def _resembles(shown: Any, sent: str | None) -> bool:
    """Whether a text can be what the CRM made of ours: cut short, trimmed, escaped or put between other words.

    Generous on purpose. A create that is called in doubt because the CRM writes titles its own way would not be found
    by its title either, and would be sent again.
    """
    if not isinstance(shown, str) or sent is None:
        return True
    if shown == sent:
        return True
    return any(
        theirs in ours or ours in theirs
        for theirs, ours in zip(_letters(unescape(shown)), _letters(unescape(sent)), strict=True)
    )


def _letters(text: str) -> tuple[str, str]:
    """Letters and digits without accents, and those that no character set spoils."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text).casefold() if char.isalnum())
    return bare, "".join(char for char in text.casefold() if char.isascii() and char.isalnum())


def whitelisted(shown: Mapping[str, Any]) -> dict[str, Scalar]:
    """The fields that may be kept, each in the one shape it may have; everything else stays behind."""
    return {name: value for name, read in _KEPT.items() if (value := read(shown.get(name))) is not None}


def integer(value: Any) -> int | None:
    """A non-negative integer up to `MAX_ID`, from a number or a digit string; anything else is None."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID:
        return value
    return None


def figure(value: Any) -> int | None:
    """A whole figure from a number or a text of digits, its fraction cut off; as in `integer`, anything else is None.

    `read_json` gives a fraction as text, and whoever writes 20.0 or "20" for 20 means 20.
    """
    if isinstance(value, str) and (match := _FIGURE.fullmatch(value)):
        value = match[1]
    return integer(value)


def _user(value: Any) -> int | None:
    """A number in most answers, an object with a name (which is not kept) in some."""
    return integer(value.get("id")) if isinstance(value, dict) else integer(value)


def _amount(value: Any) -> Scalar | None:
    """A number or a decimal text, as it came (`body.read_json` reads a fraction as text)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= MAX_ID else None
    return value if isinstance(value, str) and _AMOUNT.fullmatch(value) else None


def _status(value: Any) -> str | None:
    return value if isinstance(value, str) and value in ("open", "gain", "lost") else None


def _time(value: Any) -> str | None:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None


_KEPT: Final[Mapping[str, Callable[[Any], Scalar | None]]] = {
    "id": integer,
    "crm_column": integer,
    "lead_id": integer,
    "status": _status,
    "value": _amount,
    "sequence": integer,
    "user": _user,
    "createDate": _time,
    "updateDate": _time,
    "last_column_change": _time,
    "last_status_change": _time,
    "gain_date": _time,
    "lost_date": _time,
}
