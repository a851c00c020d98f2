"""Carries out what has come due: late commits, and what "a person" does to an opportunity.

A person's change outlives the job's wishes: a marker in a custom field survives a move and a new title, a marker in
the title does not survive the latter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oppsync_ops.simulator.writes import commit_late

if TYPE_CHECKING:
    from oppsync_ops.simulator.agenda import Appointment
    from oppsync_ops.simulator.simulation import Simulation


def settle(sim: Simulation, now: float) -> None:
    """Keep every appointment due by now, in order."""
    if len(sim.agenda):
        for appointment in sim.agenda.due(now):
            _keep(sim, appointment)


def _keep(sim: Simulation, appointment: Appointment) -> None:
    instance = sim.instances.get(appointment.instance)
    if instance is None:
        return
    details, at = appointment.details, appointment.due
    if appointment.act == "commit":
        commit_late(sim, instance, details, at=at)
        return
    opportunity = instance.opportunities.get(details["id"])
    if opportunity is None:
        return
    match appointment.act:
        case "move":
            wanted = details["to"] or instance.next_column(opportunity.crm_column)
            if wanted in instance.columns:
                instance.touch(opportunity, at=at, column=wanted)
                sim.entered(instance.columns[wanted], opportunity.id, call=None, instance=instance)
        case "archive":
            opportunity.archived = True
            instance.touch(opportunity, at=at)
        case "rename":
            opportunity.title = details["to"]
            instance.touch(opportunity, at=at)
        case _:
            raise ValueError(f"no appointment is called {appointment.act!r}")
