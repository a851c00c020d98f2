"""A fault rule: which calls it may strike, how often, and the action.

Written flat, with the same keys everywhere. As a specification on the command line, where a value holds no comma::

    drop_after_commit:p=0.05,method=POST
    slow:ms=35000,commit=end,nth=3
    token_revoked:from_s=60,to_s=180,instance=acme

and as JSON on the control endpoint::

    {"action": "drop_after_commit", "p": 0.05, "method": "POST"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Self

from oppsync_ops.simulator.fault_actions import ACTIONS, Action, Stage, read_number, read_text, read_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from oppsync_ops.simulator.call import Call

# A connection says nothing about the call it will carry.
_CONNECT_KEYS: Final = frozenset({"name", "p", "times", "nth", "from_s", "to_s"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """The first rule that matches, and whose draw says yes, strikes."""

    action: Action
    parameters: Mapping[str, Any]
    name: str | None = None
    """What journal and counters call it; given by the book when left out."""
    p: float = 1.0
    """Probability, drawn per marker (or path) and per time that was seen."""
    times: int | None = None
    """Strikes at most so often."""
    nth: int | None = None
    """Strikes the nth matching call only, counted from 1."""
    seen: int | None = None
    """Strikes only when this marker (or path) matches for the nth time: ``seen=1`` is each job's first attempt."""
    instance: str | None = None
    method: str | None = None
    path: str | None = None
    """A glob, ``/crmopportunity*``."""
    lead: int | None = None
    column: int | None = None
    marker: str | None = None
    """A glob, ``order-17*``."""
    from_s: float = 0.0
    """Active from so many virtual seconds after the rule was added."""
    to_s: float | None = None
    """Active until then."""
    lag_s: float = 0.0
    """What the struck call creates stays out of lists for so long, whatever else the fault does."""
    lag_get: bool = False
    """The lag hides it from GET one too."""

    @classmethod
    def parse(cls, given: str | Mapping[str, Any]) -> Self:
        """Read a specification or a JSON object; raises ValueError that names the bad part."""
        written = _split(given) if isinstance(given, str) else dict(given)
        action_name = written.pop("action", None)
        action = ACTIONS.get(str(action_name))
        if action is None:
            raise ValueError(f"no fault is called {action_name!r}; there are {', '.join(sorted(ACTIONS))}")
        parameters = {key: parameter.default for key, parameter in action.parameters.items()}
        matcher: dict[str, Any] = {}
        for key, value in written.items():
            if value is None:
                continue
            if key in action.parameters:
                parameters[key] = _read(action, key, value, action.parameters[key].read)
            elif key in _READERS and (action.stage is not Stage.CONNECT or key in _CONNECT_KEYS):
                matcher[key] = _read(action, key, value, _READERS[key])
            else:
                raise ValueError(f"{action.name} does not take {key!r}")
        return cls(action=action, parameters=parameters, **matcher)

    def applies_to(self, call: Call, *, elapsed_s: float) -> bool:
        """Whether the call is one this rule may strike, chance and counts apart."""
        if call.operation not in self.action.operations:
            return False
        if self.action.name == "page_shift" and not (isinstance(call.body, dict) and call.body.get("page")):
            return False
        instance = call.instance.name if call.instance else None
        return (
            self.active(elapsed_s)
            and self.instance in {None, instance}
            and self.method in {None, call.method}
            and (self.path is None or fnmatchcase(call.target.path, self.path))
            and (self.lead is None or self.lead == call.lead_id)
            and (self.column is None or self.column == call.column)
            and (self.marker is None or fnmatchcase(call.marker or "", self.marker))
        )

    def active(self, elapsed_s: float) -> bool:
        """Whether the rule's time window is open."""
        return self.from_s <= elapsed_s and (self.to_s is None or elapsed_s < self.to_s)

    def described(self) -> dict[str, Any]:
        """The rule as the control endpoint shows it, in the shape it can be given again."""
        shown: dict[str, Any] = {"action": self.action.name, **self.parameters}
        for key in _READERS:
            value = getattr(self, key)
            if value is not None and value != _DEFAULTS.get(key):
                shown[key] = value
        return {key: value for key, value in shown.items() if value is not None}


def _split(text: str) -> dict[str, Any]:
    action, _, rest = text.strip().partition(":")
    written: dict[str, Any] = {"action": action}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{part!r} in {text!r} is not key=value")
        if key.strip() in written:
            raise ValueError(f"{key.strip()!r} stands twice in {text!r}")
        written[key.strip()] = value.strip()
    return written


def _read(action: Action, key: str, value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{action.name}: {key} {error}") from None


def _probability(value: Any) -> float:
    number = read_number(value)
    if number > 1:
        raise ValueError(f"is a probability from 0 to 1, not {value!r}")
    return number


def _method(value: Any) -> str:
    return read_text(value).upper()


def _flag(value: Any) -> bool:
    words = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
    found = words.get(str(value).lower())
    if found is None:
        raise ValueError(f"is yes or no, not {value!r}")
    return found


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": read_text,
    "p": _probability,
    "times": read_whole,
    "nth": read_whole,
    "seen": read_whole,
    "instance": read_text,
    "method": _method,
    "path": read_text,
    "lead": read_whole,
    "column": read_whole,
    "marker": read_text,
    "from_s": read_number,
    "to_s": read_number,
    "lag_s": read_number,
    "lag_get": _flag,
}
_DEFAULTS: Final[dict[str, Any]] = {"p": 1.0, "from_s": 0.0, "lag_s": 0.0, "lag_get": False}
