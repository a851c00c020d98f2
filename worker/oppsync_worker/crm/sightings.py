"""A record in a list, compared with the create that may have made it. Only verdicts and ids leave here.

What a row does not show, or shows in a shape that nobody has seen, is no evidence against it. Of the two ways to be
wrong this is the lesser: a stranger's record that looks like ours has another time, and may be put before a person; our
own that looks like a stranger's is created twice.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Self

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.crm.answers import Scalar, Unreadable, integer, whitelisted
from oppsync_worker.crm.marks import Mark, mark_in
from oppsync_worker.instances import InstanceSettings

_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,16}(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,2})?")
_NO_EVIDENCE: Final = object()


@dataclass(frozen=True, slots=True)
class Sought:
    """What a create would have made. Its `repr` leaves the title out, which is a customer's text."""

    title: str = field(repr=False)
    value: Decimal | None
    user: int | None
    crm_column: int
    lead_id: int | None
    marker: str | None
    marker_field: str | None

    @classmethod
    def of(cls, job: CreateOpportunity, settings: InstanceSettings, *, marker: str | None) -> Self:
        """The record that `job`, sent with `marker`, makes at this instance."""
        return cls(job.title, job.value, job.user, job.crm_column, job.lead_id, marker, settings.marker_field)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One record of a list, beside what is sought. A `..._same` is False only where the row shows something else."""

    opportunity_id: int
    created: datetime | None
    """In UTC, to the second; None when the row shows no time."""
    marker: Mark
    title_same: bool
    """Apart from white space and from how its accents are composed."""
    value_same: bool
    """As decimals. No value and 0 are one: SprintHub shows a card without a value as `"0.00"`."""
    user_same: bool
    """Whoever is shown, for a create that names nobody: SprintHub may give the record an owner by itself."""
    column_same: bool
    lead_same: bool | None
    """None when either side names no lead: rows of the list by lead need not repeat it."""
    kept: dict[str, Scalar]
    """The whitelisted fields (`answers.whitelisted`)."""


def sighting(row: Any, sought: Sought) -> Sighting:
    """What one row of a list shows.

    Raises:
        Unreadable: when it is no record, or has no id.
    """
    opportunity_id = integer(row.get("id")) if isinstance(row, dict) else None
    if not opportunity_id:
        raise Unreadable("a row without an id")
    kept = whitelisted(row)
    lead_id = _shown(row, "lead_id", _reference)
    return Sighting(
        opportunity_id,
        created=_moment(kept.get("createDate")),
        marker=mark_in(row.get("fields"), marker_field=sought.marker_field, marker=sought.marker),
        title_same=_shown(row, "title", _title) in (_title(sought.title), _NO_EVIDENCE),
        value_same=_shown(row, "value", _amount) in (sought.value or Decimal(0), _NO_EVIDENCE),
        user_same=sought.user is None or _shown(row, "user", _reference) in (sought.user, _NO_EVIDENCE),
        column_same=_shown(row, "crm_column", _reference) in (sought.crm_column, _NO_EVIDENCE),
        lead_same=None if sought.lead_id is None or lead_id is _NO_EVIDENCE else lead_id == sought.lead_id,
        kept=kept,
    )


def _shown(row: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    return read(row[name]) if name in row else _NO_EVIDENCE


def _title(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value or "").split())
    return _NO_EVIDENCE


def _amount(value: Any) -> Any:
    """A number, or a decimal text, which is also how `body.read_json` reads a fraction."""
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return Decimal(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else _NO_EVIDENCE


def _reference(value: Any) -> Any:
    """An id, or the id of an object, which lists by lead were seen to show for a user; null is nobody's."""
    if value is None:
        return None
    found = integer(value.get("id") if isinstance(value, dict) else value)
    return _NO_EVIDENCE if found is None else found


def _moment(text: Scalar | None) -> datetime | None:
    """A time of day, in UTC unless it says otherwise; a bare date is no time."""
    if not isinstance(text, str) or ":" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
