"""Keeps the CRM's data across a restart of the process: opportunities, appointments, counts, the clock.

Not kept: knobs and rules (they are given again at start), the journal, and the calls inside throttle windows.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.counters import InstanceCounters, MarkerCount, PeakWindow
from oppsync_ops.simulator.opportunity import AppliedUpdate, Opportunity
from oppsync_ops.simulator.seed import instance_from

if TYPE_CHECKING:
    from pathlib import Path

    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.simulation import Simulation

VERSION: Final = 1
_PLAIN: Final = (
    "received",
    "committed",
    "answered",
    "unanswered",
    "throttled",
    "refused_token",
    "unmarked",
)


def save(sim: Simulation, path: Path) -> None:
    """Write the state, whole or not at all."""
    state = {
        "version": VERSION,
        "seed": sim.config.seed,
        "now": sim.clock.now(),
        "ordinal": sim.ordinal,
        "faults": sim.faults.memory(),
        "agenda": [
            {"due": one.due, "act": one.act, "instance": one.instance, "details": one.details}
            for one in sim.agenda.waiting()
        ],
        "instances": [_instance(one) for one in sim.instances.values()],
        "counters": {name: _counts(one) for name, one in sim.counters.instances.items()},
    }
    beside = path.with_name(f"{path.name}.writing")
    beside.write_text(json.dumps(state), "ascii")
    beside.replace(path)


def load(sim: Simulation, path: Path) -> None:
    """Take the state over; raises ValueError for a file that is not one."""
    try:
        state = json.loads(path.read_text("utf-8"))
        _take(sim, state)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a state file of the simulator: {error}") from error


def _take(sim: Simulation, state: dict[str, Any]) -> None:
    if state["version"] != VERSION:
        raise ValueError(f"version {state['version']} is not {VERSION}")
    sim.clock.resume_at(state["now"])
    sim.ordinal = state["ordinal"]
    sim.faults.remember(state["faults"])
    for kept in state["instances"]:
        sim.declare(instance_from(kept["declared"]))
        _fill(sim.instances[kept["declared"]["name"]], kept)
    for one in state["agenda"]:
        sim.agenda.add(one["due"], one["act"], one["instance"], **one["details"])
    for name, kept in state["counters"].items():
        sim.counters.instances[name] = _counters(kept)


def _instance(instance: Instance) -> dict[str, Any]:
    declared = {key: value for key, value in asdict(instance.declared).items() if value is not None}
    return {
        "declared": declared,
        "next_id": instance.next_id,
        "last_active": {str(lead): at for lead, at in instance.last_active.items()},
        "opportunities": [_opportunity(one) for one in instance.opportunities.values()],
        "column_order": {str(column): list(held) for column, held in instance.by_column.items()},
    }


def _opportunity(opportunity: Opportunity) -> dict[str, Any]:
    return _slots(opportunity) | {"updates": [_slots(update) for update in opportunity.updates]}


def _slots(value: Any) -> dict[str, Any]:
    """A dataclass as it is; ``asdict`` copies deeply, which takes seconds for fifty thousand opportunities."""
    return {name: getattr(value, name) for name in value.__slots__}


def _fill(instance: Instance, kept: dict[str, Any]) -> None:
    instance.next_id = kept["next_id"]
    instance.last_active = {int(lead): at for lead, at in kept["last_active"].items()}
    for one in kept["opportunities"]:
        updates = [AppliedUpdate(**update) for update in one["updates"]]
        instance.add(Opportunity(**{**one, "updates": updates}))
    for column, order in kept["column_order"].items():
        held = instance.by_column[int(column)]
        instance.by_column[int(column)] = {opportunity_id: held[opportunity_id] for opportunity_id in order}


def _counts(counters: InstanceCounters) -> dict[str, Any]:
    return {
        **{name: getattr(counters, name) for name in _PLAIN},
        "by_status": {str(status): times for status, times in counters.by_status.items()},
        "by_fault": dict(counters.by_fault),
        "markers": {marker: _slots(count) for marker, count in counters.markers.items()},
        "expected": sorted(counters.expected),
        "peaks": [counters.peak_30s.peak, counters.peak_60s.peak],
    }


def _counters(kept: dict[str, Any]) -> InstanceCounters:
    counters = InstanceCounters(**{name: kept[name] for name in _PLAIN})
    counters.by_status = Counter({int(status): times for status, times in kept["by_status"].items()})
    counters.by_fault = Counter(kept["by_fault"])
    counters.markers.update({marker: MarkerCount(**count) for marker, count in kept["markers"].items()})
    counters.expected = set(kept["expected"])
    counters.peak_30s, counters.peak_60s = PeakWindow(30.0, kept["peaks"][0]), PeakWindow(60.0, kept["peaks"][1])
    return counters
