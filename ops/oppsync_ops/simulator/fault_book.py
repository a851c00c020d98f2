"""The fault rules in force, in order, and how often each has matched and struck.

Draws are keyed by seed, rule, marker (or path) and times seen, so concurrency cannot change which job meets which
fault. ``times`` and ``nth`` count calls in order of arrival.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oppsync_ops.simulator.chance import draw
from oppsync_ops.simulator.fault_actions import Stage
from oppsync_ops.simulator.fault_rules import FaultRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oppsync_ops.simulator.call import Call


@dataclass(slots=True)
class _Entry:
    id: str
    rule: FaultRule
    added_at: float
    matched: int = 0
    struck: int = 0
    seen: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


class FaultBook:
    """First match wins, within a stage."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._added = 0
        self._entries: dict[Stage, list[_Entry]] = {stage: [] for stage in Stage}

    def add(self, given: str | Mapping[str, Any] | FaultRule, *, now: float) -> str:
        """Append a rule; answers its id."""
        rule = given if isinstance(given, FaultRule) else FaultRule.parse(given)
        self._added += 1
        rule_id = rule.name or f"{rule.action.name}#{self._added}"
        if any(entry.id == rule_id for entry in self._all()):
            raise ValueError(f"a rule called {rule_id!r} stands already")
        self._entries[rule.action.stage].append(_Entry(id=rule_id, rule=rule, added_at=now))
        return rule_id

    def remove(self, rule_id: str | None = None) -> int:
        """Remove one rule, or all; answers how many."""
        removed = 0
        for stage, entries in self._entries.items():
            kept = [entry for entry in entries if rule_id is not None and entry.id != rule_id]
            removed += len(entries) - len(kept)
            self._entries[stage] = kept
        return removed

    def strike(self, stage: Stage, call: Call) -> tuple[str, FaultRule] | None:
        """The rule that strikes this call at this stage, with its id."""
        for entry in self._entries[stage]:
            if entry.rule.applies_to(call, elapsed_s=call.at - entry.added_at) and self._falls(
                entry, key=call.marker or call.target.path
            ):
                return entry.id, entry.rule
        return None

    def strike_connection(self, *, now: float) -> FaultRule | None:
        """The rule that strikes a connection before anything is read from it."""
        for entry in self._entries[Stage.CONNECT]:
            if entry.rule.active(now - entry.added_at) and self._falls(entry, key="connection"):
                return entry.rule
        return None

    def described(self) -> list[dict[str, Any]]:
        """Every rule with its id and counts, in order within its stage."""
        return [
            {"id": entry.id, **entry.rule.described(), "matched": entry.matched, "struck": entry.struck}
            for entry in self._all()
        ]

    def memory(self) -> dict[str, Any]:
        """The counts of every rule, for the state file."""
        return {e.id: {"matched": e.matched, "struck": e.struck, "seen": dict(e.seen)} for e in self._all()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take the counts of the rules that still stand from the state file."""
        for entry in self._all():
            kept = memory.get(entry.id)
            if kept:
                entry.matched, entry.struck = kept["matched"], kept["struck"]
                entry.seen.update(kept["seen"])

    def _falls(self, entry: _Entry, *, key: str) -> bool:
        rule = entry.rule
        entry.matched += 1
        entry.seen[key] += 1
        times_seen = entry.seen[key]
        if (
            (rule.nth is not None and rule.nth != entry.matched)
            or (rule.seen is not None and rule.seen != times_seen)
            or (rule.times is not None and entry.struck >= rule.times)
            or (rule.p < 1 and draw(self._seed, entry.id, key, times_seen) >= rule.p)
        ):
            return False
        entry.struck += 1
        return True

    def _all(self) -> Iterable[_Entry]:
        return [entry for entries in self._entries.values() for entry in entries]
