"""One opportunity as the simulated CRM stores it, and what was done to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

_SUFFIX: Final = re.compile(r"\[([^\[\]]+)\]\s*$")


@dataclass(slots=True, kw_only=True)
class AppliedUpdate:
    """One PUT that took effect: when, and the keys and values of its body, as sent."""

    ordinal: int
    at: float
    changes: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Opportunity:
    """A stored opportunity. Dates are epoch seconds, whole; the value is in cents."""

    id: int
    instance: str
    funnel_id: int
    crm_column: int
    lead_id: int
    title: str
    value_cents: int
    sequence: int
    status: str
    user: int | None
    created_s: int
    updated_s: int
    fields: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    """Documented keys that are rarely set (reasons, campaign, permissions), by wire name."""
    dates: dict[str, int] = field(default_factory=dict)
    """``last_column_change``, ``gain_date`` and the like, by wire name, once they have happened."""
    archived: bool = False
    awaiting_column: int | None = None
    """The column a PUT asked for while approval is pending."""
    marker: str | None = None
    """The marker its POST carried, whatever became of it since: what the auditor counts by."""
    marker_field_missing: str | None = None
    """The custom field that is missing from this opportunity's answers, as if it had never been declared."""
    listed_from: float = 0.0
    """Lists show it from this moment on."""
    readable_from: float = 0.0
    """GET one shows it from this moment on."""
    updates: list[AppliedUpdate] = field(default_factory=list)


def marker_in(marker_field: str, title: Any, fields: Any) -> str | None:
    """The marker a body carries: its marker field, else a ``[...]`` suffix of its title."""
    if isinstance(fields, dict):
        found = fields.get(marker_field)
        if isinstance(found, str) and found:
            return found
    if isinstance(title, str):
        suffix = _SUFFIX.search(title)
        if suffix:
            return suffix[1]
    return None
