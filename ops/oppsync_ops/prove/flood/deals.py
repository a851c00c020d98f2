"""The jobs of a flood, drawn from the seed one after the other.

A record begins with its create; most get some updates, each with the next version in its title. Half of the updates
come soon after the job before, while that one is still in line or on its way; the others come when the one before has
long been done. Either could be misordered, in its own way.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

INSTANCES: Final = ("oak", "pine", "plum", "sorb")
FUNNEL_ID: Final = 7
COLUMN_ID: Final = 131
UPDATES: Final = (0, 1, 2, 4)
SOON, LATER = 40, 25_000
"""How many jobs are handed over between two of one record, at most and about."""
_ID: Final = re.compile(r"flood-(\d+)-(\d+)")
_TITLE: Final = re.compile(r"Deal (\d+), version (\d+)")


@dataclass(frozen=True, slots=True)
class Deal:
    """One job: version 0 is the create of its record."""

    record: int
    version: int

    @property
    def job_id(self) -> str:
        """Its id, which says what it is."""
        return f"flood-{self.record}-{self.version}"

    @property
    def instance(self) -> str:
        """Every fourth record is of the same instance."""
        return INSTANCES[self.record % len(INSTANCES)]

    @property
    def lane(self) -> str:
        """Now and then interactive."""
        return "interactive" if self.record % 5 == 0 else "bulk"

    def document(self) -> dict[str, Any]:
        """What a producer hands over."""
        whole: dict[str, Any] = {
            "instance": self.instance,
            "funnel_id": FUNNEL_ID,
            "job_id": self.job_id,
            "external_ref": f"deal-{self.record}",
            "lane": self.lane,
            "title": f"Deal {self.record}, version {self.version}",
        }
        if self.version == 0:
            whole |= {"crm_column": COLUMN_ID, "lead_id": 1 + self.record, "status": "open", "value": "12.50"}
        return whole


def deals(seed: int, count: int) -> Iterator[Deal]:
    """So many jobs, in the order in which they are handed over. Holds the updates that are still to come, no more."""
    chance = Random(f"{seed}/flood")
    coming: list[tuple[int, int, int, int]] = []
    record = given = 0
    while given < count:
        if coming and coming[0][0] <= given:
            _, number, version, last = heapq.heappop(coming)
        else:
            number, version, last = record, 0, chance.choice(UPDATES)
            record += 1
        yield Deal(number, version)
        given += 1
        if version < last:
            gap = chance.randint(1, SOON) if chance.random() < 0.5 else chance.randint(LATER // 2, LATER)  # noqa: PLR2004
            heapq.heappush(coming, (given + gap, number, version + 1, last))


def deal_of(job_id: object) -> Deal | None:
    """The job that bears this id; None for nobody's."""
    found = _ID.fullmatch(job_id) if isinstance(job_id, str) else None
    return Deal(int(found[1]), int(found[2])) if found else None


def version_in(title: object) -> tuple[int, int] | None:
    """The record and the version that a title names."""
    found = _TITLE.fullmatch(title) if isinstance(title, str) else None
    return (int(found[1]), int(found[2])) if found else None
