"""The knobs of the simulator: everything about SprintHub that is undocumented or that differs between instances.

A knob answers one open question of the SprintHub API notes ("number or string?", "merge or replace?") and has the
answer we think likeliest as its default. Knobs are values, never looked up from the environment. Faults are not
knobs: they stand in ``fault_actions``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from oppsync_ops.simulator.budget import parse_windows
from oppsync_ops.simulator.clock import parse_pace, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oppsync_ops.simulator.seed import InstanceSeed

# Not knobs to turn while running: instances are declared and faults are added through their own endpoints, another
# seed takes a reset, and nobody can turn a running clock into another one.
FIXED_AT_START: Final = frozenset({"instances", "faults", "seed", "clock", "clock_start"})

CHOICES: Final[dict[str, tuple[str | int, ...]]] = {
    "throttle_case": ("lower", "title", "upper"),
    "throttle_status": (401, 429),
    "bearer": ("ignore", "must_match", "required"),
    "unknown_instance_status": (400, 401, 403, 404),
    "sequence": ("any", "string_only", "number_only"),
    "value": ("any", "string_only", "number_only"),
    "nulls": ("reject", "accept"),
    "unknown_keys": ("reject", "ignore"),
    "unknown_field": ("drop", "400"),
    "put_fields": ("merge", "replace"),
    "put_unknown": (404, 400),
    "empty_lead": ("400", "empty"),
    "user_in_lead_list": ("number", "object"),
    "list_order": ("updated_desc", "id_asc", "shuffled"),
    "list_embeds": ("lead", "nothing"),
    "search_matches": ("title", "title_and_fields", "nothing"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """One setting of every knob. See ``CHOICES`` for the knobs that take a word."""

    seed: int = 1
    """Fixes first ids, lead documents, latencies and fault draws."""
    clock: str = "real"
    """``real``, ``x10`` (ten virtual seconds per second) or ``stepped`` (time moves by hand only)."""
    clock_start: str = "2026-01-05T12:00:00Z"
    """Where a stepped clock starts. The other clocks start now."""
    clock_skew_s: float = 0.0
    """Shifts the ``Date`` header and ``createDate`` of every answer, as a badly set server clock would."""

    throttle: str = "50/30s"
    """Rolling windows per instance: ``off``, ``both`` (``50/30s+100/60s``) or a list such as ``45/60s``. The real
    size is undocumented: integrators report 100 a minute and about 50 in 30 s."""
    count_refused: bool = True
    """A refused call spends budget too, so hammering prolongs the pause."""
    retry_after: bool = False
    """Send ``Retry-After`` with a throttled answer. Nobody has seen SprintHub do so."""
    throttle_status: int = 401
    """SprintHub throttles with 401, not 429: only the text tells it from a bad token."""
    throttle_case: str = "lower"
    """How ``too many requests`` is written."""
    throttle_numbers: bool = True
    """Put ``usage`` and ``limite`` into a throttled answer."""
    neighbour_rpm: float = 0.0
    """Calls per minute that other integrations of the customer make, evenly spaced, from the same budget."""

    latency_ms: float = 0.0
    """Delay of every happy answer. The work is done before the delay."""
    latency_jitter_ms: float = 0.0
    """Up to this much more, drawn per call."""

    bearer: str = "ignore"
    """What to do with the ``Authorization`` header: ``apitoken`` alone seems to authenticate."""
    invalid_token_text: str = "Invalid token."  # noqa: S105 - an invented wording, not a secret
    """The ``msg`` of a credential 401. The real wording is unknown."""
    unknown_instance_status: int = 401
    """The answer to an unknown ``i`` is unknown."""

    sequence: str = "any"
    """Accepted JSON type of ``sequence``: the docs say number, clients send a string."""
    value: str = "any"
    """Accepted JSON type of ``value``."""
    sequence_required: bool = True
    lead_required: bool = True
    """Whether a create must name its lead: every client that was seen does."""
    nulls: str = "reject"
    """Null top-level keys in a write, but for the five that some clients send as null."""
    unknown_keys: str = "reject"
    unknown_field: str = "drop"
    """An undeclared custom field: dropped silently with a success status, or refused."""
    put_fields: str = "merge"
    put_unknown: int = 404
    unknown_leads: tuple[int, ...] = ()
    """Lead ids that do not exist. All others from 1 to 1,000,000 do."""

    empty_lead: str = "400"
    """What by-lead answers for a known lead without opportunities."""
    lead_list_archived: bool = False
    """Whether by-lead shows archived opportunities."""
    user_in_lead_list: str = "number"
    list_order: str = "updated_desc"
    list_embeds: str = "lead"
    """Whether rows of a list carry the whole lead document, as the single answers do."""
    with_funnel_id: bool = False
    """Whether rows of a list carry ``funnel_id``."""
    search_matches: str = "title"
    """What ``search`` of by-column looks at. Its real semantics are unproven."""

    max_body_bytes: int = 1_048_576
    """A longer request body is answered 413."""
    journal_size: int = 200_000
    """How many journal rows are kept; older ones are dropped."""

    instances: tuple[InstanceSeed, ...] | None = None
    """The instances at start; None takes the default seed file."""
    faults: tuple[str | Mapping[str, Any], ...] = ()
    """Fault rules at start, first match wins: ``drop_after_commit:p=0.05,method=POST``."""

    def __post_init__(self) -> None:
        parse_windows(self.throttle)
        parse_pace(self.clock)
        parse_utc(self.clock_start)
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {_words(allowed)}, not {getattr(self, name)!r}")
        for name in ("neighbour_rpm", "latency_ms", "latency_jitter_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative: {getattr(self, name)!r}")
        for name in ("max_body_bytes", "journal_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)!r}")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """This configuration with some knobs turned. Raises ValueError that names the knob it cannot turn."""
        turned = {name: _as_knob(name, wanted) for name, wanted in changes.items()}
        return dataclasses.replace(self, **turned)

    def knobs(self) -> dict[str, Any]:
        """Every knob and its setting, as plain JSON values."""
        names = [field.name for field in dataclasses.fields(self)]
        settings = {name: getattr(self, name) for name in names if name not in {"instances", "faults"}}
        return settings | {"unknown_leads": list(self.unknown_leads)}


def _as_knob(name: str, wanted: Any) -> Any:
    if name in FIXED_AT_START:
        raise ValueError(f"{name} is fixed at start")
    for field in dataclasses.fields(SimulatorConfig):
        if field.name == name:
            return _READERS[str(field.type)](name, wanted)
    raise ValueError(f"no knob is called {name!r}")


def _flag(name: str, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return wanted
    words = {"on": True, "true": True, "off": False, "false": False}
    if isinstance(wanted, str) and wanted.lower() in words:
        return words[wanted.lower()]
    raise ValueError(f"{name} is on or off, not {wanted!r}")


def _whole(name: str, wanted: Any) -> int:
    try:
        return int(wanted if isinstance(wanted, (int, str)) and not isinstance(wanted, bool) else "none")
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {wanted!r}") from None


def _number(name: str, wanted: Any) -> float:
    try:
        number = float(wanted if isinstance(wanted, (int, float, str)) and not isinstance(wanted, bool) else "none")
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise ValueError(f"{name} is a number, not {wanted!r}")


def _text(name: str, wanted: Any) -> str:
    if isinstance(wanted, (str, int)) and not isinstance(wanted, bool):
        return str(wanted)
    raise ValueError(f"{name} is a word, not {wanted!r}")


def _leads(name: str, wanted: Any) -> tuple[int, ...]:
    if isinstance(wanted, str):
        wanted = [lead for lead in wanted.split(",") if lead]
    if isinstance(wanted, (list, tuple)):
        return tuple(_whole(name, lead) for lead in wanted)
    raise ValueError(f"{name} is a list of lead ids, not {wanted!r}")


def _words(allowed: tuple[str | int, ...]) -> str:
    return ", ".join(str(word) for word in allowed)


_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "bool": _flag,
    "int": _whole,
    "float": _number,
    "str": _text,
    "tuple[int, ...]": _leads,
}
