"""An inquiry: what is known so far of a create in doubt, kept in the ledger between one look-up and the next.

Each look-up is one request, and may be done by another worker than the one before.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Self

VERSION = 1
"""Of the form. A newer version may add a field and leave this as it is, if what is here is right without it as well."""


class Source(StrEnum):
    """Which of SprintHub's lists is asked."""

    LEAD = "lead"
    """`GET /listopportunitysleadcomplete/LEAD`: all records of the lead, in one answer."""
    COLUMN = "column"
    """`POST /crm/opportunities/FUNNEL`: a page of the column."""


class Last(StrEnum):
    """What became of a list when it was last read to its end."""

    NEVER = "never"
    CLEAN = "clean"
    """Read whole, and no record of it is certainly ours."""
    REFUSED = "refused"
    """SprintHub answered 4xx: that may mean "none" and may mean anything else."""
    TOO_LONG = "too_long"
    """More pages than may be read."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One list's record: how often it was read clean, and how it was left last."""

    clean: int = 0
    last: Last = Last.NEVER

    def ended(self, last: Last) -> Self:
        """The list was read once more."""
        return replace(self, clean=self.clean + (last is Last.CLEAN), last=last)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything that the next look-up must know. Times are milliseconds since the create was sent."""

    lead: Tally = Tally()
    column: Tally = Tally()
    rounds: int = 0
    """How many times the lists were looked at after the settle window."""
    page: int | None = None
    """The column's page to be read next; None between passes."""
    archived: bool = False
    """Whether the pass has come to the archived records, which are listed apart."""
    probable: tuple[int, ...] = ()
    unsure: tuple[int, ...] = ()
    """Records that may be ours, out of the list that was read last."""
    declared: bool = False
    """The marker's field was seen in the CRM."""
    blind: bool = False
    """Out of the list that was read last, some record could not show a marker."""
    taken: tuple[int, ...] = ()
    """Records that turned out to be other jobs'."""
    failures: int = 0
    """Look-ups in a row without an answer."""
    failing_since_ms: int | None = None

    @property
    def source(self) -> Source | None:
        """The list that a pass is in the middle of."""
        return None if self.page is None else Source.COLUMN

    def as_json(self) -> str:
        """For the ledger."""
        return json.dumps({"v": VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From the ledger; an empty text, or one that this version cannot read, is an inquiry that begins anew.

        What a newer version has added is left out: its workers and ours take turns while they are being replaced.
        """
        try:
            given = json.loads(text)
            if given.pop("v") != VERSION:
                return cls()
            tallies = {name: Tally(given[name]["clean"], Last(given[name]["last"])) for name in ("lead", "column")}
            lists = {name: tuple(given[name]) for name in ("probable", "unsure", "taken")}
            known = {one.name: given[one.name] for one in fields(cls) if one.name in given}
            return cls(**{**known, **tallies, **lists})
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()
