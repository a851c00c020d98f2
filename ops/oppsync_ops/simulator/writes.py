"""Create and update: the two calls that change something.

SprintHub API notes, sections 3, 4 and 10. Two identical POSTs create two opportunities; nothing in a request makes
them one. An update takes what its body has, merges custom fields (knob ``put_fields``), and the last write wins.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from oppsync_ops.simulator import rendering
from oppsync_ops.simulator.answers import text_answer
from oppsync_ops.simulator.call import Call, Operation, Twist, number_in, parse_target
from oppsync_ops.simulator.drafts import Draft, RefusedBody, draft_from
from oppsync_ops.simulator.opportunity import AppliedUpdate, Opportunity
from oppsync_ops.simulator.refusals import Refused, invalid_request, named, opportunity_not_found
from oppsync_ops.simulator.work import Work

if TYPE_CHECKING:
    from oppsync_ops.simulator.answers import Answer
    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.simulation import Simulation

_STATUS_DATES = {"gain": "gain_date", "lost": "lost_date", "open": "reopen_date"}


def create(sim: Simulation, call: Call, instance: Instance) -> Work:
    """``POST /crmopportunity``. Answers the flat opportunity, status 200, no funnel id."""
    try:
        draft = draft_from(
            call.body,
            instance=instance,
            config=sim.config,
            funnel_id=number_in(call.target.query, "id"),
            creates=True,
        )
    except RefusedBody as error:
        raise Refused(named(400, str(error))) from None
    created: list[Opportunity] = []

    def commit(at: float) -> None:
        created.append(_create(sim, call, instance, draft, at=at))

    def render() -> Answer:
        return text_answer(rendering.written(created[0], instance, sim.config))

    return Work(render=render, commit=commit)


def update(sim: Simulation, call: Call, instance: Instance) -> Work:
    """``PUT /crmopportunity/ID``. Answers a message and, under ``data``, the whole opportunity."""
    funnel_id = number_in(call.target.query, "id")
    try:
        draft = draft_from(call.body, instance=instance, config=sim.config, funnel_id=funnel_id, creates=False)
    except RefusedBody:
        raise Refused(invalid_request()) from None
    opportunity = instance.opportunities.get(call.target.number or 0)
    if opportunity is None:
        raise Refused(opportunity_not_found(sim.config.put_unknown))
    if draft.crm_column is None and opportunity.funnel_id != funnel_id:
        raise Refused(invalid_request())

    def commit(at: float) -> None:
        _update(sim, call, instance, opportunity, draft, at=at)

    def render() -> Answer:
        whole = rendering.written(opportunity, instance, sim.config)
        return text_answer(f'{{"msg":"The opportunity has been updated.","data":{whole}}}')

    return Work(render=render, commit=commit)


def read_one(sim: Simulation, call: Call, instance: Instance) -> Work:
    """``GET /crmopportunity/ID``. Not in the public documentation; sees what was just written."""
    opportunity = instance.opportunities.get(call.target.number or 0)
    if opportunity is None or opportunity.readable_from > call.at:
        raise Refused(opportunity_not_found())
    return Work(render=lambda: text_answer(rendering.read(opportunity, instance, sim.config)))


def later(call: Call) -> dict[str, Any]:
    """What ``commit_late`` needs to know about a write, as plain data."""
    return {
        "ordinal": call.ordinal,
        "method": call.method,
        "target": f"{call.target.path}?id={call.target.query.get('id', '')}",
        "body": call.body,
        "marker": call.marker,
        "twist": asdict(call.twist),
    }


def commit_late(sim: Simulation, instance: Instance, details: dict[str, Any], *, at: float) -> None:
    """Carry out a write whose caller has long been told something else."""
    target = parse_target(details["target"])
    twist = Twist(**details["twist"])
    operation = target.routes[details["method"]]
    call = Call(**{**details, "target": target, "twist": twist}, at=at, operation=operation, instance=instance)
    prepare = create if operation is Operation.CREATE else update
    try:
        work = prepare(sim, call, instance)
    except Refused:
        return
    if work.commit is not None:
        work.commit(at)


def _create(sim: Simulation, call: Call, instance: Instance, draft: Draft, *, at: float) -> Opportunity:
    twist = call.twist
    stamp = int(at + sim.config.clock_skew_s + twist.skew_s)
    column = draft.crm_column or 0
    opportunity = Opportunity(
        id=instance.take_id(),
        instance=instance.name,
        funnel_id=instance.funnel_of[column],
        crm_column=column,
        lead_id=draft.lead_id or 0,
        title=draft.title or "",
        value_cents=draft.value_cents or 0,
        sequence=draft.sequence or 0,
        status=draft.status or "open",
        user=draft.user,
        created_s=stamp,
        updated_s=stamp,
        fields=_fields(draft, instance, drop_marker_field=twist.drop_marker_field) or {},
        extras=draft.extras,
        marker=call.marker,
        marker_field_missing=instance.marker_field if twist.drop_marker_field else None,
        listed_from=at + twist.lag_s,
        readable_from=at + twist.lag_s if twist.lag_get else 0.0,
    )
    instance.add(opportunity)
    instance.last_active[opportunity.lead_id] = at
    _committed(sim, call, instance, creates=True)
    sim.entered(instance.columns[column], opportunity.id, call=call, instance=instance)
    return opportunity


def _update(
    sim: Simulation, call: Call, instance: Instance, opportunity: Opportunity, draft: Draft, *, at: float
) -> None:
    stamp = int(at + sim.config.clock_skew_s + call.twist.skew_s)
    opportunity.updates.append(AppliedUpdate(ordinal=call.ordinal, at=at, changes=dict(call.body)))
    for name in ("title", "value_cents", "sequence", "user"):
        given = getattr(draft, name)
        if given is not None:
            setattr(opportunity, name, given)
    opportunity.extras |= draft.extras
    fields = _fields(draft, instance, drop_marker_field=call.twist.drop_marker_field)
    if call.twist.drop_marker_field:
        opportunity.marker_field_missing = instance.marker_field
    if fields is not None:
        opportunity.fields = fields if sim.config.put_fields == "replace" else opportunity.fields | fields
    if draft.lead_id is not None:
        instance.move_lead(opportunity, draft.lead_id)
    if draft.status is not None and draft.status != opportunity.status:
        opportunity.status = draft.status
        opportunity.dates |= {"last_status_change": stamp, _STATUS_DATES[draft.status]: stamp}
    _move(sim, call, instance, opportunity, draft.crm_column, stamp=stamp)
    _committed(sim, call, instance, creates=False)


def _move(
    sim: Simulation,
    call: Call,
    instance: Instance,
    opportunity: Opportunity,
    column: int | None,
    *,
    stamp: int,
) -> None:
    wanted = opportunity.crm_column if column is None else column
    moves = wanted != opportunity.crm_column
    if moves and (call.twist.hold_column or instance.columns[wanted].needs_approval):
        opportunity.awaiting_column = wanted
        instance.touch(opportunity, at=stamp)
        return
    instance.touch(opportunity, at=stamp, column=wanted)
    if moves:
        sim.entered(instance.columns[wanted], opportunity.id, call=call, instance=instance)


def _committed(sim: Simulation, call: Call, instance: Instance, *, creates: bool) -> None:
    call.committed = True
    sim.counters.instances[instance.name].committed_write(call.marker, creates=creates)


def _fields(draft: Draft, instance: Instance, *, drop_marker_field: bool) -> dict[str, str] | None:
    if draft.fields is None or not drop_marker_field:
        return draft.fields
    return {name: text for name, text in draft.fields.items() if name != instance.marker_field}
