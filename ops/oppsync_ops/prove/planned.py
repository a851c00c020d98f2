"""A planned job, and how the CRM's records tell which one they show.

Every value that a job writes names the job: `Deal 12, version 3 [alder.12.3]` as the title, `12.03` as the amount, `v3`
in the custom field. So final values, order and doubles can be read off the CRM alone. The mark in brackets is what the
simulator counts by where there is no marker field; it is not the job's id, so that no worker can find its record by it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

FUNNEL_ID: Final = 7
COLUMNS: Final = (130, 131, 132)
CUSTOM_FIELD: Final = "Origem"
USER_ID: Final = 5
NO_USER_ID: Final = 999
"""Named by jobs that the CRM is to refuse. A column that does not exist would do too, but then a lost answer could not
be settled: of such a column there is no list to look into."""

TITLE, VALUE, FIELD = "title", "value", "field"
ASTRAY: Final = -1
"""Stands for the version where a part of a record shows nothing that was written to it."""
MOST_VERSIONS: Final = 99
"""Versions of one record: they are its amount's cents."""

_MARK: Final = re.compile(r"\[([a-z]+)\.(\d+)\.(\d+)\]\s*$")
_JOB: Final = re.compile(r"([a-z]+)-r(\d+)-v(\d+)")


class By(StrEnum):
    """How a job names its record."""

    CREATE = "create"
    REFERENCE = "reference"
    """The producer's own `external_ref`: may be enqueued before the create has run."""
    ID = "id"
    """The CRM's id, which the producer has to learn first."""


class Fate(StrEnum):
    """How a job must end."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """The CRM refuses it for good: a dead letter, and nothing in the CRM."""
    LATE = "late"
    """It has a deadline that may pass while it waits: it succeeds, or it expires."""
    REFUSED_ALONE = "refused alone"
    """The CRM refuses it with 403 while other jobs of its instance are fine: dead, or succeeded when that has ended."""
    POISON = "poison"
    """Every worker that sends it is killed: a dead letter, and nothing in the CRM."""


MAY_SUCCEED: Final = frozenset({Fate.SUCCEEDED, Fate.LATE, Fate.REFUSED_ALONE})


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job of the plan. `version` counts the jobs of a record from 0, its create."""

    instance: str
    number: int
    version: int
    at: float
    """When it is handed over, as a fraction of the load."""
    by: By
    lane: str
    reference: str | None
    changes: tuple[str, ...]
    """What it writes, of `TITLE`, `VALUE` and `FIELD`."""
    lead_id: int | None = None
    column: int | None = None
    foreign: bool = False
    """Pushed by another Celery application, with `send_task`."""
    twice: bool = False
    """Handed over twice, as by a producer that lost its answer."""
    fate: Fate = Fate.SUCCEEDED

    @property
    def record(self) -> str:
        """The record that it is about, in words."""
        return f"{self.instance}-r{self.number}"

    @property
    def job_id(self) -> str:
        """Its id."""
        return f"{self.record}-v{self.version}"

    @property
    def first_id(self) -> str:
        """The id of its record's create."""
        return f"{self.record}-v0"

    @property
    def creates(self) -> bool:
        """Whether it is a create."""
        return self.by is By.CREATE

    @property
    def mark(self) -> str:
        """What the simulator knows it by, where there is no marker field."""
        return f"{self.instance}.{self.number}.{self.version}"

    def document(self) -> dict[str, Any]:
        """The CRM's document that it sends; the amount is text."""
        whole: dict[str, Any] = {
            TITLE: f"Deal {self.number}, version {self.version} [{self.mark}]",
            VALUE: f"{self.number}.{self.version:02d}",
        }
        document = {name: whole[name] for name in (TITLE, VALUE) if name in self.changes}
        if FIELD in self.changes:
            document["fields"] = {CUSTOM_FIELD: f"v{self.version}"}
        if self.creates:
            user = NO_USER_ID if self.fate is Fate.REFUSED else USER_ID
            document |= {"crm_column": self.column, "user": user, "status": "open"}
            document |= {"lead_id": self.lead_id} if self.lead_id else {}
        return document


def job_of(mark: str | None) -> str | None:
    """The id of the job that a request's marker stands for: a marker field's text, or a title's mark."""
    if not mark:
        return None
    if _JOB.fullmatch(mark):
        return mark
    parts = mark.split(".")
    return f"{parts[0]}-r{parts[1]}-v{parts[2]}" if len(parts) == 3 else None  # noqa: PLR2004 - see `PlannedJob.mark`


def versions_in(document: Mapping[str, Any]) -> dict[str, int]:
    """Which version each part of a record, or of a request's body, shows; parts that show none are left out."""
    found: dict[str, int | None] = {}
    if (title := document.get("title")) is not None:
        mark = _MARK.search(str(title))
        found[TITLE] = int(mark[3]) if mark else None
    if (value := document.get("value")) is not None:
        amount = _cents(value)
        found[VALUE] = None if amount is None else amount % 100
    fields = document.get("fields")
    if isinstance(fields, Mapping) and CUSTOM_FIELD in fields:
        text = str(fields[CUSTOM_FIELD])
        found[FIELD] = int(text[1:]) if text[:1] == "v" and text[1:].isdecimal() else None
    return {name: version for name, version in found.items() if version is not None}


def record_in(document: Mapping[str, Any]) -> str | None:
    """Which record of the plan a title is about, in words."""
    mark = _MARK.search(str(document.get("title")))
    return f"{mark[1]}-r{mark[2]}" if mark else None


def shown_in(document: Mapping[str, Any], made_by: str | None) -> dict[str, int]:
    """Which version each part of a whole record shows: every create writes them all, so each shows one, or `ASTRAY`."""
    found = {TITLE: ASTRAY, VALUE: ASTRAY, FIELD: ASTRAY} | versions_in(document)
    owner = _JOB.fullmatch(made_by or "")
    if owner and record_in(document) != f"{owner[1]}-r{owner[2]}":
        found[TITLE] = ASTRAY
    if owner and (_cents(document.get("value")) or 0) // 100 != int(owner[2]):
        found[VALUE] = ASTRAY
    return found


def _cents(value: object) -> int | None:
    try:
        return int((Decimal(str(value)) * 100).to_integral_value())
    except (ArithmeticError, ValueError):
        return None
