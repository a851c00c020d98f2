"""By-lead and by-column: the only ways to find an opportunity whose id is unknown. No date filter exists.

SprintHub API notes, sections 5.2 and 5.3. By-lead answers 400 for a lead without opportunities (knob ``empty_lead``),
so a 400 proves nothing. By-column pages from 0; its end is a page shorter than ``limit``; the same opportunity can
stand on two pages.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator import rendering
from oppsync_ops.simulator.answers import Answer, text_answer
from oppsync_ops.simulator.chance import draw
from oppsync_ops.simulator.drafts import STATUSES, lead_exists
from oppsync_ops.simulator.refusals import Refused, invalid_request, named
from oppsync_ops.simulator.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Reversible

    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.config import SimulatorConfig
    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.opportunity import Opportunity
    from oppsync_ops.simulator.simulation import Simulation

_KNOWN: Final = frozenset(
    {
        "filterByUsers",
        "filterByStatus",
        "filterByExpectedCloseDate",
        "filters",
        "search",
        "page",
        "limit",
        "columnId",
        "onlyArchived",
        "searchBy",
    },
)
_MOST_ROWS: Final = 1000


def by_lead(sim: Simulation, call: Call, instance: Instance) -> Work:
    """``GET /listopportunitysleadcomplete/LEAD``: a bare array, no paging."""
    lead_id = call.target.number or 0
    if not lead_exists(lead_id, sim.config):
        raise Refused(named(404, "Lead inexistente"))

    def render() -> Answer:
        found = [
            opportunity
            for opportunity in _ordered(instance.by_lead.get(lead_id, ()), sim.config, by_touch=False)
            if opportunity.listed_from <= call.at and (sim.config.lead_list_archived or not opportunity.archived)
        ]
        if not found and sim.config.empty_lead == "400":
            return invalid_request()
        rows = (rendering.row(one, instance, sim.config, by_lead=True) for one in found)
        return text_answer(f"[{','.join(rows)}]")

    return Work(render=render)


def by_column(sim: Simulation, call: Call, instance: Instance) -> Work:
    """``POST /crm/opportunities/FUNNEL``: a bare array, a page of one column."""
    asked = _asked(call, instance)
    page, limit = asked["page"], asked["limit"]

    def render() -> Answer:
        column = instance.by_column[asked["columnId"]]
        matching = _matching(_ordered(column.values(), sim.config, by_touch=True), asked, at=call.at, config=sim.config)
        first = max(0, page * limit + call.twist.page_shift)
        rows = [
            rendering.row(one, instance, sim.config, by_lead=False) for one in islice(matching, first, first + limit)
        ]
        return text_answer(f"[{','.join(rows)}]")

    return Work(render=render)


def _ordered(
    opportunities: Reversible[Opportunity], config: SimulatorConfig, *, by_touch: bool
) -> Iterable[Opportunity]:
    if config.list_order == "id_asc":
        return sorted(opportunities, key=lambda one: one.id)
    if config.list_order == "shuffled":
        return sorted(opportunities, key=lambda one: draw(config.seed, "order", one.instance, one.id))
    newest_first = reversed(opportunities)
    if by_touch:  # a column is kept in the order of the last touch
        return newest_first
    return sorted(newest_first, key=lambda one: one.updated_s, reverse=True)


def _matching(
    opportunities: Iterable[Opportunity], asked: dict[str, Any], *, at: float, config: SimulatorConfig
) -> Iterator[Opportunity]:
    archived = bool(asked.get("onlyArchived"))
    listed = (one for one in opportunities if one.archived is archived and one.listed_from <= at)
    statuses, users, search = asked.get("filterByStatus"), asked.get("filterByUsers"), asked.get("search")
    if statuses is not None and not set(STATUSES) <= set(statuses):
        listed = (one for one in listed if one.status in statuses)
    if users:
        listed = (one for one in listed if one.user in users)
    if search:
        listed = (one for one in listed if _found_by(search.lower(), one, config))
    return listed


def _found_by(sought: str, opportunity: Opportunity, config: SimulatorConfig) -> bool:
    match config.search_matches:
        case "title":
            return sought in opportunity.title.lower()
        case "title_and_fields":
            texts = (opportunity.title, *opportunity.fields.values())
            return any(sought in text.lower() for text in texts)
        case _:
            return False


def _asked(call: Call, instance: Instance) -> dict[str, Any]:
    """The checked body, with the defaults the web client relies on."""
    body = call.body
    if not isinstance(body, dict):
        raise Refused(named(400, "the body is not a JSON object"))
    for key in body:
        if key not in _KNOWN:
            raise Refused(named(400, f"property {key} should not exist"))
    asked = {"page": 0, "limit": 100, **body}
    _check(_is_whole(asked["page"]) and asked["page"] >= 0, "page must be a number from 0 on")
    _check(_is_whole(asked["limit"]) and 1 <= asked["limit"] <= _MOST_ROWS, f"limit must be from 1 to {_MOST_ROWS}")
    column: Any = asked.get("columnId")
    _check(_is_whole(column), "columnId must be a number")
    statuses, users = asked.get("filterByStatus"), asked.get("filterByUsers")
    _check(statuses is None or _all_in(statuses, STATUSES), "filterByStatus must be a list of statuses")
    _check(users is None or isinstance(users, list), "filterByUsers must be a list")
    _check(isinstance(asked.get("search") or "", str), "search must be a text")
    if instance.funnel_of.get(column) != call.target.number:
        raise Refused(named(400, f"columnId {column} does not exist in funnel {call.target.number}"))
    return asked


def _check(holds: Any, otherwise: str) -> None:
    if not holds:
        raise Refused(named(400, otherwise))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all_in(values: Any, allowed: tuple[str, ...]) -> bool:
    return isinstance(values, list) and all(value in allowed for value in values)
