"""One customer account of the simulated CRM: its declarations, its opportunities and their orders.

Knows nothing about HTTP, faults or knobs. Column order is the order of the last touch, which is what "updated
descending" needs and what makes opportunities shift between pages while a client lists them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from oppsync_ops.simulator.chance import draw_between

if TYPE_CHECKING:
    from oppsync_ops.simulator.opportunity import Opportunity
    from oppsync_ops.simulator.seed import ColumnSeed, InstanceSeed


class Instance:
    """Declarations are read from the seed; opportunities are added and touched."""

    def __init__(self, declared: InstanceSeed, *, seed: int) -> None:
        self.declared = declared
        self.name = declared.name
        self.token = declared.token
        self.marker_field = declared.marker_field
        self.fields: tuple[str, ...] = declared.fields
        self.declared_fields = frozenset(declared.fields)
        self.users = frozenset(declared.users)
        self.columns: dict[int, ColumnSeed] = {}
        self.funnel_of: dict[int, int] = {}
        self.columns_of: dict[int, list[int]] = {}
        for funnel in declared.funnels:
            self.columns_of[funnel.id] = [column.id for column in funnel.columns]
            for column in funnel.columns:
                self.columns[column.id] = column
                self.funnel_of[column.id] = funnel.id
        self.next_id = draw_between(seed, 10_000, 99_999, "first opportunity id", declared.name)
        self.opportunities: dict[int, Opportunity] = {}
        self.by_lead: defaultdict[int, list[Opportunity]] = defaultdict(list)
        self.by_column: dict[int, dict[int, Opportunity]] = {column: {} for column in self.columns}
        self.last_active: dict[int, float] = {}

    def take_id(self) -> int:
        """The next opportunity id; ids are consecutive."""
        taken = self.next_id
        self.next_id += 1
        return taken

    def add(self, opportunity: Opportunity) -> None:
        """Store a new opportunity as the last touched of its column."""
        self.opportunities[opportunity.id] = opportunity
        self.by_lead[opportunity.lead_id].append(opportunity)
        self.by_column[opportunity.crm_column][opportunity.id] = opportunity

    def touch(self, opportunity: Opportunity, *, at: float, column: int | None = None) -> None:
        """Move it to the top of its column, or of another one, and date the change."""
        self.by_column[opportunity.crm_column].pop(opportunity.id, None)
        if column is not None and column != opportunity.crm_column:
            opportunity.crm_column = column
            opportunity.funnel_id = self.funnel_of[column]
            opportunity.dates["last_column_change"] = int(at)
            opportunity.awaiting_column = None
        opportunity.updated_s = int(at)
        self.by_column[opportunity.crm_column][opportunity.id] = opportunity

    def move_lead(self, opportunity: Opportunity, lead_id: int) -> None:
        """Hand an opportunity over to another lead."""
        if lead_id != opportunity.lead_id:
            self.by_lead[opportunity.lead_id].remove(opportunity)
            opportunity.lead_id = lead_id
            self.by_lead[lead_id].append(opportunity)

    def next_column(self, column: int) -> int:
        """Where a person would drag an opportunity of this column: the next one of its funnel, or the first."""
        columns = self.columns_of[self.funnel_of[column]]
        return columns[(columns.index(column) + 1) % len(columns)]
