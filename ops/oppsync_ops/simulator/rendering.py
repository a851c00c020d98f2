"""Opportunities as JSON text, in the types each endpoint was seen to use.

SprintHub API notes, sections 3.1 and 6. Create and update answers give ``value`` and ``sequence`` as numbers and only
the custom fields that have a value. Reads give ``value`` as a string with two decimals and every declared custom
field, an unset one as ``""``. No answer names the funnel, unless a knob asks for it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.clock import iso_millis, iso_seconds
from oppsync_ops.simulator.people import lead_pieces, user

if TYPE_CHECKING:
    from oppsync_ops.simulator.config import SimulatorConfig
    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.opportunity import Opportunity

# The keys between ``status`` and ``fields``, in the documented order, for an opportunity nothing has happened to.
_QUIET: Final[dict[str, Any]] = {
    "loss_reason": None,
    "gain_reason": None,
    "expectedCloseDate": None,
    "sale_channel": None,
    "campaign": None,
    "user": None,
    "last_column_change": None,
    "last_status_change": None,
    "gain_date": None,
    "lost_date": None,
    "reopen_date": None,
    "await_column_approved": None,
    "await_column_approved_user": None,
    "reject_appro": None,
    "reject_appro_desc": None,
    "createDate": None,
    "updateDate": None,
    "sprint_permission": "all",
    "sprint_permission_user": None,
    "sprint_permission_department": None,
    "sprint_permission_users": [],
    "sprint_permission_users_select": [],
    "sprint_permission_departments": [],
    "sprint_permission_departments_select": [],
}
_FILES: Final = '"files":[],"filesData":[]}'


def written(opportunity: Opportunity, instance: Instance, config: SimulatorConfig) -> str:
    """What create answers, and update under ``data``."""
    cents = opportunity.value_cents
    value = str(cents // 100) if cents % 100 == 0 else repr(cents / 100)
    fields = _texts({key: text for key, text in opportunity.fields.items() if text})
    return (
        f"{{{_head(opportunity, value=value)},{_middle(opportunity)},"
        f'{_people(opportunity, instance, config)},"fields":{fields},{_FILES}'
    )


def read(opportunity: Opportunity, instance: Instance, config: SimulatorConfig) -> str:
    """What GET one answers."""
    return (
        f"{{{_head(opportunity, value=_decimals(opportunity))},{_middle(opportunity)},"
        f"{_people(opportunity, instance, config)},"
        f'"fields":{_all_fields(opportunity, instance)},{_FILES}'
    )


def row(opportunity: Opportunity, instance: Instance, config: SimulatorConfig, *, by_lead: bool) -> str:
    """One element of a list."""
    as_object = by_lead and config.user_in_lead_list == "object"
    people = f"{_people(opportunity, instance, config)}," if config.list_embeds == "lead" else ""
    funnel = f'"funnel_id":{opportunity.funnel_id},' if config.with_funnel_id else ""
    return (
        f"{{{_head(opportunity, value=_decimals(opportunity))},"
        f"{_middle(opportunity, user_as_object=as_object)},{funnel}{people}"
        f'"fields":{_all_fields(opportunity, instance)},'
        f'"archived":{int(opportunity.archived)},"conf_installment":[],{_FILES}'
    )


def dump(document: Any) -> str:
    """Compact JSON text that leaves accents as they are, as the real answers do."""
    return _encode(document)


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _head(opportunity: Opportunity, *, value: str) -> str:
    return (
        f'"id":{opportunity.id},"title":{encode_basestring(opportunity.title)},"value":{value},'
        f'"crm_column":{opportunity.crm_column},"lead_id":{opportunity.lead_id},'
        f'"sequence":{opportunity.sequence},"status":"{opportunity.status}"'
    )


def _middle(opportunity: Opportunity, *, user_as_object: bool = False) -> str:
    created = iso_seconds(opportunity.created_s)
    updated = iso_seconds(opportunity.updated_s)
    quiet = not (opportunity.extras or opportunity.dates or opportunity.awaiting_column or user_as_object)
    if quiet:
        before, between, after = _quiet_pieces()
        owner = "null" if opportunity.user is None else str(opportunity.user)
        return f'{before}{owner}{between}"{created}","updateDate":"{updated}"{after}'
    owner_value: Any = opportunity.user
    if user_as_object and opportunity.user is not None:
        owner_value = {"id": opportunity.user, "name": user(opportunity.user, blocked=False)["name"]}
    members = {
        **_QUIET,
        **opportunity.extras,
        **{name: iso_seconds(at) for name, at in opportunity.dates.items()},
        "user": owner_value,
        "await_column_approved": opportunity.awaiting_column,
        "createDate": created,
        "updateDate": updated,
    }
    return dump(members)[1:-1]


@lru_cache(maxsize=1)
def _quiet_pieces() -> tuple[str, str, str]:
    text = dump({**_QUIET, "user": "CUT", "createDate": "CUT", "updateDate": "CUT"})[1:-1]
    before, between, _, after = text.split('"CUT"')
    return before, between, after


def _people(opportunity: Opportunity, instance: Instance, config: SimulatorConfig) -> str:
    lead_id = opportunity.lead_id
    pieces = lead_pieces(config.seed, instance.name, lead_id)
    active = iso_millis(instance.last_active.get(lead_id, pieces.first_active_s))
    return f"{pieces.before_last_active}{active}{pieces.after_last_active},{pieces.company}"


def _all_fields(opportunity: Opportunity, instance: Instance) -> str:
    stored = opportunity.fields
    names = [name for name in instance.fields if name != opportunity.marker_field_missing]
    return _texts({name: stored.get(name, "") for name in names})


def _texts(members: dict[str, str]) -> str:
    """An object of texts: an encoder set up for each call would take most of an answer's time."""
    pairs = [f"{encode_basestring(name)}:{encode_basestring(text)}" for name, text in members.items()]
    return f"{{{','.join(pairs)}}}"


def _decimals(opportunity: Opportunity) -> str:
    sign = "-" if opportunity.value_cents < 0 else ""
    whole, cents = divmod(abs(opportunity.value_cents), 100)
    return f'"{sign}{whole}.{cents:02d}"'
