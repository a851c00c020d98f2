"""The order in which a call is checked, from the route to the answer.

SprintHub API notes, section 15.1.

1. The route: an unknown path or method is a plain 404.
2. The instance ``i``; then the token. Neither spends budget.
3. The budget of the instance: every routed, authenticated call counts, reads and refused ones included.
4. The body: JSON, documented keys, wire types, then what it refers to (funnel, column, lead, user).
5. The commit, and the answer: here the faults strike a valid call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oppsync_ops.simulator import catalogue, lists, writes
from oppsync_ops.simulator.answers import not_routed
from oppsync_ops.simulator.appointments import settle
from oppsync_ops.simulator.call import Operation
from oppsync_ops.simulator.fault_actions import Stage
from oppsync_ops.simulator.fault_effects import Decision, carry_out
from oppsync_ops.simulator.opportunity import marker_in
from oppsync_ops.simulator.refusals import Refused, credentials_refused, named, throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from oppsync_ops.simulator.answers import Answer
    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.simulation import Simulation
    from oppsync_ops.simulator.work import Work

_PREPARE: Final[dict[Operation, Callable[[Simulation, Call, Instance], Work]]] = {
    Operation.CREATE: writes.create,
    Operation.UPDATE: writes.update,
    Operation.READ_ONE: writes.read_one,
    Operation.BY_LEAD: lists.by_lead,
    Operation.BY_COLUMN: lists.by_column,
    Operation.FUNNELS: catalogue.funnels,
    Operation.COLUMNS: catalogue.columns,
    Operation.LOSS_REASONS: catalogue.loss_reasons,
    Operation.USERS: catalogue.users,
    Operation.DEPARTMENTS: catalogue.departments,
}


def decide(sim: Simulation, call: Call) -> Decision:
    """Check a call and carry it out as far as it gets."""
    settle(sim, call.at)
    call.operation = call.target.routes.get(call.method)
    if call.operation is None:
        sim.counters.unrouted += 1
        return Decision(not_routed(call.method, call.target.path))
    call.instance = sim.instances.get(call.target.query.get("i", ""))
    if call.instance is None:
        sim.counters.unrouted += 1
        return Decision(named(sim.config.unknown_instance_status, "Instance not found."))
    if call.operation.writes and isinstance(call.body, dict):
        call.marker = marker_in(call.instance.marker_field, call.body.get("title"), call.body.get("fields"))
    refusal = credentials_refused(call, call.instance, sim.config) or _token_revoked(sim, call)
    counters = sim.counters.instances[call.instance.name]
    counters.call(call.at, counts_for_peaks=refusal is None)
    if refusal is not None:
        counters.refused_token += 1
        return Decision(refusal)
    if call.marker is not None:
        counters.marked(call.marker, creates=call.operation is Operation.CREATE, now=call.at)
    refusal = _throttle(sim, call, call.instance)
    if refusal is not None:
        counters.throttled += 1
        return Decision(refusal)
    try:
        work = _PREPARE[call.operation](sim, call, call.instance)
    except Refused as refused:
        return Decision(refused.answer)
    return carry_out(sim, call, work, sim.faults.strike(Stage.WORK, call))


def _token_revoked(sim: Simulation, call: Call) -> Answer | None:
    struck = sim.faults.strike(Stage.TOKEN, call)
    if struck is None:
        return None
    call.fault = struck[0]
    return named(401, sim.config.invalid_token_text)


def _throttle(sim: Simulation, call: Call, instance: Instance) -> Answer | None:
    config = sim.config
    budget = sim.budgets[instance.name]
    admission = budget.take(call.at, count_refused=config.count_refused, neighbour_rpm=config.neighbour_rpm)
    if not admission.admitted:
        return throttled(config, admission)
    rule_id, left = sim.bursts.pop(instance.name, ("", 0))
    if left > 0:
        sim.bursts[instance.name] = (rule_id, left - 1)
        call.fault = rule_id
        return throttled(config, budget.pretended(call.at))
    struck = sim.faults.strike(Stage.THROTTLE, call)
    if struck is None:
        return None
    call.fault, rule = struck
    if rule.action.name == "throttle_burst":
        sim.bursts[instance.name] = (call.fault, rule.parameters["n"] - 1)
    return throttled(config, budget.pretended(call.at))
