"""What the control endpoints show of the CRM's data: everything an auditor needs, lead documents apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oppsync_ops.simulator.clock import iso_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oppsync_ops.simulator.opportunity import Opportunity
    from oppsync_ops.simulator.seed import InstanceSeed
    from oppsync_ops.simulator.simulation import Simulation


def records(sim: Simulation, instance: str | None = None, *, marker: str | None = None) -> Iterator[dict[str, Any]]:
    """Every stored opportunity of one instance or all, by instance and id."""
    for name, held in sorted(sim.instances.items()):
        if instance is None or name == instance:
            for opportunity in list(held.opportunities.values()):
                if marker is None or opportunity.marker == marker:
                    yield record(opportunity)


def record(opportunity: Opportunity) -> dict[str, Any]:
    """One opportunity and the bodies of the PUTs that were applied to it, in order."""
    cents = opportunity.value_cents
    return {
        "id": opportunity.id,
        "instance": opportunity.instance,
        "funnel_id": opportunity.funnel_id,
        "crm_column": opportunity.crm_column,
        "lead_id": opportunity.lead_id,
        "title": opportunity.title,
        "value": f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}",
        "status": opportunity.status,
        "user": opportunity.user,
        "sequence": opportunity.sequence,
        "fields": opportunity.fields,
        "marker": opportunity.marker,
        "archived": opportunity.archived,
        "await_column_approved": opportunity.awaiting_column,
        "createDate": iso_seconds(opportunity.created_s),
        "updateDate": iso_seconds(opportunity.updated_s),
        "updates": [
            {"ordinal": update.ordinal, "at": update.at, "changes": update.changes} for update in opportunity.updates
        ],
    }


def declared(instance: InstanceSeed) -> dict[str, Any]:
    """An instance as it was declared; the token is shown as configured, not as it is."""
    return {
        "name": instance.name,
        "token_configured": True,
        "marker_field": instance.marker_field,
        "marker_field_declared": instance.marker_field in instance.fields,
        "fields": list(instance.fields),
        "users": list(instance.users),
        "blocked_users": list(instance.blocked_users),
        "throttle": instance.throttle,
        "funnels": [
            {
                "id": funnel.id,
                "name": funnel.name,
                "columns": [
                    {
                        "id": column.id,
                        "name": column.name,
                        "needs_approval": column.needs_approval,
                        "automation": column.automation,
                    }
                    for column in funnel.columns
                ],
            }
            for funnel in instance.funnels
        ],
    }
