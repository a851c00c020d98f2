"""The few fields of an answer that may be kept.

SprintHub answers a create with the whole lead: names, phones, addresses, even a password in its own sample. So each
kept field is picked by name *and* by shape: a text that is no amount, status or time is dropped.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from oppsync_worker.contract.fields import MAX_ID
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.marks import Mark, mark_in

Scalar = int | str

_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_FIGURE: Final = re.compile(r"[ \t]*([0-9]{1,16})(?:\.[0-9]{0,40})?[ \t]*", re.ASCII)
_AMOUNT: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,10})?")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a record in the CRM: its id, and those of the whitelisted fields that the answer showed."""

    opportunity_id: int
    kept: dict[str, Scalar] = field(default_factory=dict)
    marker_landed: bool | None = None
    """Whether a create's answer shows our marker in its field. False: it was dropped, and the record could not be found
    by it. None: no marker was sent, or the answer does not show what became of it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must agree with: the request's own facts."""

    kind: Kind
    opportunity_id: int | None = None
    lead_id: int | None = None
    crm_column: int | None = None
    marker: str | None = None
    marker_field: str | None = None

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
        return cls(job.kind, opportunity_id, job.lead_id, job.crm_column, marker, marker_field)


class Unreadable(ValueError):
    """A success answer that proves nothing; its text names what is missing and repeats no value."""


def read_record(document: Any, expected: Expected) -> Record:
    """What a success answer says of the record.

    A create counts only with a positive integer `id` (a digit string, or `data.id`, will do), and only if `lead_id` and
    `crm_column`, where the answer shows them, are those of the request: the documented answer has both, but their
    absence beside a readable id is no evidence against it. An update, whose id is known, counts as soon as the answer
    is a JSON object which neither names another record nor has the shape of a refusal (`error` without `data`).

    Raises:
        Unreadable: when the answer does not prove the success that its status claims.
    """
    if not isinstance(document, dict):
        raise Unreadable("not a JSON object")
    inner = document.get("data")
    shown = document if integer(document.get("id")) or not isinstance(inner, dict) else inner
    found = integer(shown.get("id"))
    if expected.kind is Kind.CREATE:
        if not found:
            raise Unreadable("no id")
        for name, sent in (("lead_id", expected.lead_id), ("crm_column", expected.crm_column)):
            echo = shown.get(name)
            if sent is not None and echo is not None and integer(echo) != sent:
                raise Unreadable(f"another {name} than was sent")
        return Record(found, whitelisted(shown), _landed(shown, expected))
    if "error" in document and not isinstance(inner, dict):
        raise Unreadable("an error inside a success")
    if found and expected.opportunity_id and found != expected.opportunity_id:
        raise Unreadable("another id than was sent")
    opportunity_id = expected.opportunity_id or found
    if not opportunity_id:
        raise Unreadable("no id")
    return Record(opportunity_id, whitelisted(shown))


def _landed(shown: Mapping[str, Any], expected: Expected) -> bool | None:
    mark = mark_in(shown.get("fields"), marker_field=expected.marker_field, marker=expected.marker)
    return None if mark is Mark.UNKNOWN else mark is Mark.OURS


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
