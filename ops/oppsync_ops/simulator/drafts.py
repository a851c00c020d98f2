"""The body of a write, checked: wire types and documented keys first, then what the keys refer to.

SprintHub API notes, sections 3 and 6. Which JSON types the real API accepts is partly unknown; the knobs
``sequence``, ``value``, ``nulls``, ``unknown_keys``, ``unknown_field`` and ``sequence_required`` say how strict the
simulator is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.clock import iso_seconds, parse_utc
from oppsync_ops.simulator.people import LAST_LEAD_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from oppsync_ops.simulator.config import SimulatorConfig
    from oppsync_ops.simulator.instance import Instance

STATUSES: Final = ("open", "gain", "lost")
_NEEDED: Final = ("title", "crm_column", "lead_id", "sequence")
_NULLABLE: Final = frozenset({"loss_reason", "gain_reason", "expectedCloseDate", "sale_channel", "campaign"})
_EXTRAS: Final = _NULLABLE | {
    "sprint_permission",
    "sprint_permission_user",
    "sprint_permission_users",
    "sprint_permission_departments",
}
# One client writes the permission arrays with brackets in the key.
_ARRAYS: Final = {f"sprint_permission_{who}[]": f"sprint_permission_{who}" for who in ("users", "departments")}
_DECIMAL: Final = re.compile(r"-?\d{1,12}(\.\d{1,10})?")
_INTEGER: Final = re.compile(r"\d{1,9}")


class RefusedBody(Exception):
    """A write the CRM refuses. Its text names the culprit; create shows it, update does not."""


@dataclass(slots=True)
class Draft:
    """A valid write. Absent keys are None, except in ``fields`` and ``extras`` where they are simply not there."""

    title: str | None = None
    value_cents: int | None = None
    crm_column: int | None = None
    lead_id: int | None = None
    sequence: int | None = None
    status: str | None = None
    user: int | None = None
    fields: dict[str, str] | None = None
    extras: dict[str, Any] = field(default_factory=dict)


def draft_from(
    body: Any, *, instance: Instance, config: SimulatorConfig, funnel_id: int | None, creates: bool
) -> Draft:
    """Check a body; raises RefusedBody."""
    if not isinstance(body, dict):
        raise RefusedBody("the body is not a JSON object")
    draft = _schema(body, config=config, creates=creates)
    _references(draft, instance=instance, config=config, funnel_id=funnel_id)
    if draft.fields is not None:
        draft.fields = _declared_only(draft.fields, instance=instance, config=config)
    return draft


def _schema(body: dict[str, Any], *, config: SimulatorConfig, creates: bool) -> Draft:
    draft = Draft()
    for sent_key, value in body.items():
        key = _ARRAYS.get(sent_key, sent_key)
        if key not in _EXTRAS and key not in _READERS:
            if config.unknown_keys == "reject":
                raise RefusedBody(f"property {sent_key} should not exist")
        elif value is None:
            if config.nulls == "reject" and key not in _NULLABLE:
                raise RefusedBody(f"{key} should not be null")
            _clear(draft, key)
        elif key in _EXTRAS:
            draft.extras[key] = _close_date(value) if key == "expectedCloseDate" else value
        else:
            attribute, read = _READERS[key]
            setattr(draft, attribute, read(key, value, config))
    if creates:
        optional = {"lead_id": config.lead_required, "sequence": config.sequence_required}
        _require_keys(draft, [key for key in _NEEDED if optional.get(key, True)])
    return draft


def _clear(draft: Draft, key: str) -> None:
    """A null clears what can be cleared and otherwise says nothing."""
    if key in _EXTRAS:
        draft.extras[key] = None


def _require_keys(draft: Draft, keys: list[str]) -> None:
    for key in keys:
        if getattr(draft, key) is None:
            raise RefusedBody(f"{key} is required")


def _title(_key: str, value: Any, _config: SimulatorConfig) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise RefusedBody("title must be a text")


def _status(_key: str, value: Any, _config: SimulatorConfig) -> str:
    if isinstance(value, str) and value in STATUSES:
        return value
    raise RefusedBody(f"status must be one of {', '.join(STATUSES)}")


def _id(key: str, value: Any, _config: SimulatorConfig) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise RefusedBody(f"{key} must be a number")


def _cents(_key: str, value: Any, config: SimulatorConfig) -> int:
    as_text, as_number = isinstance(value, str), _is_number(value)
    allowed = (as_text and config.value != "number_only") or (as_number and config.value != "string_only")
    text = f"{value:.10f}" if isinstance(value, float) else str(value)
    if not allowed or not _DECIMAL.fullmatch(text):
        raise RefusedBody("value must be a number")
    if text.isdigit():
        return int(text) * 100
    return int((Decimal(text) * 100).to_integral_value(ROUND_HALF_UP))


def _sequence(_key: str, value: Any, config: SimulatorConfig) -> int:
    if isinstance(value, str) and config.sequence != "number_only" and (not value or _INTEGER.fullmatch(value)):
        return int(value or "0")
    if isinstance(value, int) and _is_number(value) and config.sequence != "string_only" and value >= 0:
        return value
    raise RefusedBody("sequence must be a number" if config.sequence == "number_only" else "sequence is not valid")


def _custom_fields(_key: str, value: Any, config: SimulatorConfig) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RefusedBody("fields must be an object")
    return {
        name: content if isinstance(content, str) else _as_text(name, content, config)
        for name, content in value.items()
    }


def _as_text(name: str, content: Any, config: SimulatorConfig) -> str:
    """Other JSON types are unproven; numbers and truth values are kept as their JSON text."""
    if content is None and config.nulls == "accept":
        return ""
    if isinstance(content, (bool, int, float)):
        return json.dumps(content)
    raise RefusedBody(f"fields.{name} must be a text")


_READERS: Final[dict[str, tuple[str, Callable[[str, Any, SimulatorConfig], Any]]]] = {
    "title": ("title", _title),
    "value": ("value_cents", _cents),
    "crm_column": ("crm_column", _id),
    "lead_id": ("lead_id", _id),
    "sequence": ("sequence", _sequence),
    "status": ("status", _status),
    "user": ("user", _id),
    "fields": ("fields", _custom_fields),
}


def _close_date(value: Any) -> str:
    try:
        return iso_seconds(int(parse_utc(value)))
    except (TypeError, ValueError, OverflowError):
        raise RefusedBody("expectedCloseDate must be an ISO date") from None


def _references(draft: Draft, *, instance: Instance, config: SimulatorConfig, funnel_id: int | None) -> None:
    if funnel_id not in instance.columns_of:
        raise RefusedBody(f"funnel {funnel_id if funnel_id is not None else '(id)'} does not exist")
    column, lead, owner = draft.crm_column, draft.lead_id, draft.user
    if column is not None and instance.funnel_of.get(column) != funnel_id:
        raise RefusedBody(f"crm_column {column} does not exist in funnel {funnel_id}")
    if lead is not None and not lead_exists(lead, config):
        raise RefusedBody(f"lead_id {lead} does not exist")
    if owner is not None and owner not in instance.users:
        raise RefusedBody(f"user {owner} does not exist")


def lead_exists(lead_id: int, config: SimulatorConfig) -> bool:
    """Every lead from 1 to a million exists, but for those the knob ``unknown_leads`` takes away."""
    return 1 <= lead_id <= LAST_LEAD_ID and lead_id not in config.unknown_leads


def _declared_only(fields: dict[str, str], *, instance: Instance, config: SimulatorConfig) -> dict[str, str]:
    declared = instance.declared_fields
    if config.unknown_field == "400":
        for name in fields:
            if name not in declared:
                raise RefusedBody(f"fields.{name} does not exist")
    return {name: text for name, text in fields.items() if name in declared}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
