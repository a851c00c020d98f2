"""One request on its way through the simulator: what it asks for, and what has been decided about it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oppsync_ops.simulator.instance import Instance


class Operation(Enum):
    """The calls of the CRM that exist here."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash runs in Python, several times per call

    CREATE = "create"
    UPDATE = "update"
    READ_ONE = "read_one"
    BY_LEAD = "by_lead"
    BY_COLUMN = "by_column"
    FUNNELS = "funnels"
    COLUMNS = "columns"
    LOSS_REASONS = "loss_reasons"
    USERS = "users"
    DEPARTMENTS = "departments"

    @property
    def writes(self) -> bool:
        """Create and update change something; everything else reads."""
        return self is Operation.CREATE or self is Operation.UPDATE


@dataclass(frozen=True, slots=True)
class Target:
    """A request target taken apart. ``path`` never carries the query, so never a token."""

    path: str
    query: Mapping[str, str]
    routes: Mapping[str, Operation]
    """What each method would do here; empty for an unknown path."""
    number: int | None
    """The id at the end of the path, where the route has one."""


@dataclass(slots=True)
class Twist:
    """How a fault bends a call that is otherwise answered happily."""

    lag_s: float = 0.0
    lag_get: bool = False
    drop_marker_field: bool = False
    hold_column: bool = False
    skew_s: float = 0.0
    page_shift: int = 0


@dataclass(slots=True)
class Call:
    """A received request. Header values and the raw body stay out of journal and counters."""

    ordinal: int
    at: float
    method: str
    target: Target
    api_token: str | None = None
    authorization: str | None = None
    body: Any = None
    """The decoded JSON body, or None when it is not JSON."""
    operation: Operation | None = None
    instance: Instance | None = None
    marker: str | None = None
    fault: str | None = None
    committed: bool = False
    twist: Twist = field(default_factory=Twist)

    @property
    def lead_id(self) -> int | None:
        """The lead the call is about, as far as the request says."""
        if self.operation is Operation.BY_LEAD:
            return self.target.number
        return self._number("lead_id")

    @property
    def column(self) -> int | None:
        """The column the call is about, as far as the request says."""
        return self._number("columnId" if self.operation is Operation.BY_COLUMN else "crm_column")

    def _number(self, key: str) -> int | None:
        found = self.body.get(key) if isinstance(self.body, dict) else None
        return found if isinstance(found, int) and not isinstance(found, bool) else None


_FIXED: dict[str, dict[str, Operation]] = {
    "/crmopportunity": {"POST": Operation.CREATE},
    "/crm": {"GET": Operation.FUNNELS},
    "/crmlossreason": {"GET": Operation.LOSS_REASONS},
    "/user": {"GET": Operation.USERS},
    "/departament": {"GET": Operation.DEPARTMENTS},
}
_NUMBERED: dict[str, dict[str, Operation]] = {
    "/crmopportunity/": {"GET": Operation.READ_ONE, "PUT": Operation.UPDATE},
    "/listopportunitysleadcomplete/": {"GET": Operation.BY_LEAD},
    "/crm/opportunities/": {"POST": Operation.BY_COLUMN},
    "/crmfastloadv2/": {"GET": Operation.COLUMNS},
}
_LONGEST_ID = 15


@lru_cache(maxsize=4096)
def parse_target(raw: str) -> Target:
    """Path, query and routes of a request target as it stands on the request line."""
    try:
        parts = urlsplit(raw)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return Target(path="/", query={}, routes={}, number=None)
    if path in _FIXED:
        return Target(path, query, _FIXED[path], None)
    prefix, _, last = path.rpartition("/")
    routes = _NUMBERED.get(prefix + "/", {})
    if routes and last.isascii() and last.isdigit() and len(last) <= _LONGEST_ID:
        return Target(path, query, routes, int(last))
    return Target(path, query, {}, None)


def number_in(query: Mapping[str, str], key: str) -> int | None:
    """A positive whole number in the query, or None."""
    found = query.get(key, "")
    return int(found) if found.isascii() and found.isdigit() and len(found) <= _LONGEST_ID else None
