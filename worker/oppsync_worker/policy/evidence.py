"""What one list shows of a create in doubt: is one of its records ours?

A marker decides where there is one. Where SprintHub does not know the marker's field, it drops it silently and only a
fingerprint is left: column, title, value, user and the time of creation together. A fingerprint makes a record probable
and never certain, and a record that fits in part makes everything unsure: somebody may have edited it meanwhile.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

SLACK: Final = timedelta(seconds=2)
"""SprintHub's times have whole seconds, and so has the clock that it shows with its answers."""

UNKNOWN_CLOCK: Final = timedelta(minutes=5)
"""How far SprintHub's clock may be off when its answer does not show it."""


class Grade(StrEnum):
    """What a record is to the create that is looked for."""

    OURS = "ours"
    """It bears the job's marker."""
    PROBABLE = "probable"
    """No marker can tell, and everything else fits."""
    UNSURE = "unsure"
    """No marker can tell, and it was created at the right time, but something differs."""
    OTHER = "other"
    """It bears another marker, or none although the field is there, or it is another job's, or of another time."""


class Sighting(Protocol):
    """One record of a list, as far as it is compared; see `crm.sightings`."""

    @property
    def opportunity_id(self) -> int:
        """SprintHub's id."""
        ...

    @property
    def created(self) -> datetime | None:
        """When SprintHub says that it was created."""
        ...

    @property
    def marker(self) -> str:
        """`ours`, `other`, `empty`, `undeclared` or `unknown`."""
        ...

    @property
    def title_same(self) -> bool:
        """Whether the title is the job's."""
        ...

    @property
    def value_same(self) -> bool:
        """Whether the amount is the job's."""
        ...

    @property
    def user_same(self) -> bool:
        """Whether the responsible user is the job's."""
        ...

    @property
    def column_same(self) -> bool:
        """Whether it stands where the job would have put it."""
        ...

    @property
    def lead_same(self) -> bool | None:
        """Whether it is of the job's lead; None when the list does not say."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """When the record must have been created, on SprintHub's clock."""

    earliest: datetime
    latest: datetime

    @classmethod
    def of(cls, sent_at: datetime, looked_at: datetime, *, crm_ahead_s: float | None) -> "Window":
        """From the send until the look, both on this machine's clock; `crm_ahead_s` is what SprintHub's differs by."""
        slack = SLACK if crm_ahead_s is not None else UNKNOWN_CLOCK
        ahead = timedelta(seconds=crm_ahead_s or 0.0)
        return cls(sent_at + ahead - slack, looked_at + ahead + slack)

    def holds(self, moment: datetime | None) -> bool:
        """Whether the record can be ours by its time; one without a time can."""
        return moment is None or self.earliest <= moment <= self.latest


@dataclass(frozen=True, slots=True)
class Saw:
    """One list, read against one job."""

    ours: tuple[int, ...]
    probable: tuple[int, ...]
    unsure: tuple[int, ...]
    declared: bool
    """Some record shows the marker's field: SprintHub knows it here, so our record would bear its marker."""
    blind: bool
    """Some record does not show the field, so that its marker says nothing."""


def grade(one: Sighting, window: Window, *, taken: Container[int]) -> Grade:
    """What one record is. `taken` are records known to belong to other jobs."""
    if one.marker == "ours":
        return Grade.OURS
    if one.marker in {"other", "empty"} or one.opportunity_id in taken or one.lead_same is False:
        return Grade.OTHER
    if not window.holds(one.created):
        return Grade.OTHER
    if one.created is not None and one.title_same and one.value_same and one.user_same and one.column_same:
        return Grade.PROBABLE
    return Grade.UNSURE


def read(rows: Iterable[Sighting], window: Window, *, taken: Container[int]) -> Saw:
    """Grade all records of a list."""
    graded: dict[Grade, list[int]] = {one: [] for one in Grade}
    declared = blind = False
    for row in rows:
        graded[grade(row, window, taken=taken)].append(row.opportunity_id)
        declared = declared or row.marker in {"ours", "other", "empty"}
        blind = blind or row.marker in {"undeclared", "unknown"}
    found = {one: tuple(sorted(set(ids))) for one, ids in graded.items()}
    return Saw(found[Grade.OURS], found[Grade.PROBABLE], found[Grade.UNSURE], declared, blind)
