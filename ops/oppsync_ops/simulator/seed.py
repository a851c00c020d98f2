"""What a simulated instance is before the first call: its token, funnels, columns, users and declared custom fields.

Read from one TOML seed file, or declared as JSON through the control endpoint; both have the same keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.budget import parse_windows

if TYPE_CHECKING:
    from pathlib import Path

_INSTANCE_KEYS: Final = frozenset(
    {"name", "token", "marker_field", "fields", "users", "blocked_users", "funnels", "throttle"},
)
_FUNNEL_KEYS: Final = frozenset({"id", "name", "columns"})
_COLUMN_KEYS: Final = frozenset({"id", "name", "needs_approval", "automation", "automation_url"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSeed:
    """A column of a funnel."""

    id: int
    name: str
    needs_approval: bool = False
    """Moving an opportunity here by PUT leaves it waiting where it was."""
    automation: str | None = None
    """What SprintHub would do when an opportunity enters (a customer message, say): a journal row per entry."""
    automation_url: str | None = None
    """POSTed to when the automation runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelSeed:
    """A funnel and its columns, in order. Column ids are unique across the funnels of an instance."""

    id: int
    name: str
    columns: tuple[ColumnSeed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSeed:
    """One customer account."""

    name: str
    token: str
    funnels: tuple[FunnelSeed, ...]
    users: tuple[int, ...] = ()
    blocked_users: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    marker_field: str = "oppsync"
    """The custom field that carries a job's marker. Undeclared (not in ``fields``), it is dropped silently."""
    throttle: str | None = None
    """This instance's own windows; None follows the ``throttle`` knob."""


@lru_cache(maxsize=1)
def default_instances() -> tuple[InstanceSeed, ...]:
    """``acme`` and ``globex``, from the seed file of this package."""
    return instances_from(_default_seed())


def default_keys() -> dict[str, Any]:
    """What the default seed gives an instance that leaves a key out."""
    defaults: dict[str, Any] = _default_seed()["defaults"]
    return defaults


def read_seed_file(path: Path) -> tuple[InstanceSeed, ...]:
    """The instances of a seed file written like the default one."""
    with path.open("rb") as file:
        return instances_from(tomllib.load(file))


def instances_from(seed: Mapping[str, Any]) -> tuple[InstanceSeed, ...]:
    """Every ``[[instances]]`` table, with ``[defaults]`` for the keys it leaves out."""
    instances = tuple(instance_from(one, defaults=seed.get("defaults")) for one in seed.get("instances", ()))
    names = [instance.name for instance in instances]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"a seed declares one or more instances, each name once, not {names}")
    return instances


def instance_from(declared: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None) -> InstanceSeed:
    """Read one instance; raises ValueError that names the part it cannot read."""
    _require(isinstance(declared, Mapping), f"an instance is an object, not {declared!r}")
    merged = {**(defaults or {}), **declared}
    _refuse_unknown("an instance", merged, _INSTANCE_KEYS)
    funnels = tuple(_funnel(one) for one in _list("funnels", merged))
    columns = [column.id for funnel in funnels for column in funnel.columns]
    if len(set(columns)) != len(columns):
        raise ValueError(f"a column id stands in one funnel only: {columns}")
    throttle = merged.get("throttle")
    if throttle is not None:
        parse_windows(_text("throttle", throttle))
    return InstanceSeed(
        name=_text("name", merged.get("name")),
        token=_text("token", merged.get("token")),
        funnels=funnels,
        users=tuple(_whole("users", user) for user in _list("users", merged)),
        blocked_users=tuple(_whole("blocked_users", user) for user in _list("blocked_users", merged)),
        fields=tuple(_text("fields", field) for field in _list("fields", merged)),
        marker_field=_text("marker_field", merged.get("marker_field", "oppsync")),
        throttle=throttle,
    )


def _default_seed() -> dict[str, Any]:
    text = resources.files("oppsync_ops.simulator").joinpath("default_seed.toml").read_text("utf-8")
    return tomllib.loads(text)


def _funnel(declared: Any) -> FunnelSeed:
    _require(isinstance(declared, Mapping), f"a funnel is an object, not {declared!r}")
    _refuse_unknown("a funnel", declared, _FUNNEL_KEYS)
    funnel_id = _whole("funnel id", declared.get("id"))
    columns = tuple(_column(one) for one in _list("columns", declared))
    return FunnelSeed(
        id=funnel_id, name=_text("funnel name", declared.get("name", f"Funnel {funnel_id}")), columns=columns
    )


def _column(declared: Any) -> ColumnSeed:
    if isinstance(declared, int) and not isinstance(declared, bool):
        return ColumnSeed(id=declared, name=f"Column {declared}")
    _require(isinstance(declared, Mapping), f"a column is an id or an object, not {declared!r}")
    _refuse_unknown("a column", declared, _COLUMN_KEYS)
    column_id = _whole("column id", declared.get("id"))
    return ColumnSeed(
        id=column_id,
        name=_text("column name", declared.get("name", f"Column {column_id}")),
        needs_approval=bool(declared.get("needs_approval", False)),
        automation=declared.get("automation"),
        automation_url=declared.get("automation_url"),
    )


def _refuse_unknown(what: str, declared: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(declared) - known)
    _require(not unknown, f"{what} has no key {unknown[:1]}")


def _list(key: str, declared: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = declared.get(key, [])
    _require(isinstance(found, list), f"{key} is a list, not {found!r}")
    return found


def _whole(what: str, found: Any) -> int:
    whole = isinstance(found, int) and not isinstance(found, bool) and found > 0
    _require(whole, f"{what} is a positive whole number, not {found!r}")
    return int(found)


def _text(what: str, found: Any) -> str:
    _require(isinstance(found, str) and found, f"{what} is a text, not {found!r}")
    return str(found)


def _require(holds: Any, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
