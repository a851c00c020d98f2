"""The flood's zeros: the CRM's journal and the ledger's outcomes against what was handed over, some bytes a record.

| figure | counts |
|---|---|
| lost | jobs that nobody knows, or that are called done while the CRM shows nothing of them |
| doubled | records that were made once too often, or that nobody asked for |
| misordered | updates that were applied after a newer one of their record, or to another record |
| wrong final values | records that do not show their newest update in the end |
| not ended | jobs at no end, though nothing moves any more |
| buried | dead letters: every job of a flood is good |
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from oppsync_ops.prove.flood.deals import Deal
from oppsync_ops.prove.flood.journal import APPLIED, CREATED, REFUSED, Row
from oppsync_worker.contract.states import State

EXAMPLES: Final = 5
KINDS: Final = ("lost", "doubled", "misordered", "wrong final values", "not ended", "buried")
DONE: Final = frozenset({State.SUCCEEDED, State.MERGED})


@dataclass
class Found:
    """How often each promise was broken, and the first few by name."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, says: str) -> None:
        """One more."""
        self.counts[kind] += 1
        if self.counts[kind] <= EXAMPLES:
            self.examples.setdefault(kind, []).append(says)

    @property
    def total(self) -> int:
        """Of all kinds."""
        return sum(self.counts.values())


class Ledger:
    """What the CRM's journal says of each record, read once from its beginning to its end."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._id_of = array("I")
        self._newest = array("H")
        self._shows = array("H")
        self._applied_ones = array("H")
        """Of each record, a bit for every version that was applied to it."""
        self.requests = 0

    def read(self, rows: Iterable[Row]) -> None:
        """Every row, in order."""
        for row in rows:
            self.requests += 1
            if row.kind == CREATED:
                self._created(row)
            elif row.kind == APPLIED:
                self._applied(row)
            elif row.kind == REFUSED:
                self._found.add("misordered", "a request that no job of the flood explains")

    def judge(self, handed: Iterable[tuple[Deal, State]]) -> None:
        """Jobs that were handed over, and where they ended: one piece after the other."""
        for deal, state in handed:
            self._one(deal, state)

    def judge_records(self, newest: Iterable[tuple[int, int]]) -> None:
        """Every record that was asked for, in order, and the newest of its versions that succeeded."""
        asked_for = 0
        for record, version in newest:
            asked_for = record + 1
            if self._id(record) and self._shows[record] != version:
                self._found.add(
                    "wrong final values", f"record {record} shows version {self._shows[record]} instead of {version}"
                )
        for record in range(asked_for, len(self._id_of)):
            if self._id_of[record]:
                self._found.add("doubled", f"record {record}: made as {self._id_of[record]}, and nobody asked for it")

    def _one(self, deal: Deal, state: State) -> None:
        if state is State.UNKNOWN:
            self._found.add("lost", f"{deal.job_id}: nobody knows it")
        elif state in DONE:
            if not self._id(deal.record):
                self._found.add("lost", f"{deal.job_id}: {state}, but the CRM has no such record")
            elif state is State.MERGED and self._newest[deal.record] < deal.version:
                self._found.add("lost", f"{deal.job_id}: {state}, but it, or a newer one, was never applied")
            elif state is State.SUCCEEDED and deal.version and not self._has(deal):
                self._found.add("lost", f"{deal.job_id}: {state}, but it was never applied")
        elif state.is_terminal:
            self._found.add("buried", f"{deal.job_id}: {state}")
        else:
            self._found.add("not ended", f"{deal.job_id}: {state}")

    def _created(self, row: Row) -> None:
        while len(self._id_of) <= row.record:
            self._id_of.append(0)
            self._newest.append(0)
            self._shows.append(0)
            self._applied_ones.append(0)
        if self._id_of[row.record]:
            self._found.add(
                "doubled", f"record {row.record}: made as {self._id_of[row.record]} and {row.opportunity_id}"
            )
        else:
            self._id_of[row.record] = row.opportunity_id

    def _applied(self, row: Row) -> None:
        if self._id(row.record) != row.opportunity_id:
            self._found.add("misordered", f"an update of record {row.record} was applied to {row.opportunity_id}")
            return
        if row.version < self._newest[row.record]:
            self._found.add(
                "misordered", f"record {row.record}: version {row.version} after {self._newest[row.record]}"
            )
        self._newest[row.record] = max(self._newest[row.record], row.version)
        self._shows[row.record] = row.version
        self._applied_ones[row.record] |= 1 << row.version

    def _has(self, deal: Deal) -> bool:
        return bool(self._applied_ones[deal.record] >> deal.version & 1)

    def _id(self, record: int) -> int:
        return self._id_of[record] if record < len(self._id_of) else 0
