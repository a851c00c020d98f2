"""The whole state of the simulated CRM, and its return to the start. No sockets here.

``reset`` restores the exact initial state: same seed and same calls give the same answers.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from oppsync_ops.simulator.agenda import Agenda
from oppsync_ops.simulator.budget import Budget, parse_windows
from oppsync_ops.simulator.chance import draw
from oppsync_ops.simulator.clock import Clock
from oppsync_ops.simulator.counters import Counters
from oppsync_ops.simulator.fault_book import FaultBook
from oppsync_ops.simulator.instance import Instance
from oppsync_ops.simulator.journal import Journal
from oppsync_ops.simulator.seed import default_instances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.config import SimulatorConfig
    from oppsync_ops.simulator.seed import ColumnSeed, InstanceSeed


class Simulation:
    """Everything the simulator knows, in memory."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._initial = config
        self._initial_instances = default_instances() if config.instances is None else config.instances
        self.clock = Clock(config.clock, start=config.clock_start)
        self.counters = Counters()
        self.generation = 0
        """Changes when the present is thrown away: work begun earlier must not commit any more."""
        self.reset()

    def reset(self, *, seed: int | None = None) -> None:
        """Back to the start, with another seed if one is given."""
        self.generation += 1
        self.clock.restart()
        self.config = self._initial if seed is None else replace(self._initial, seed=seed)
        connections = self.counters
        self.counters = Counters(
            connections_open=connections.connections_open, connections_peak=connections.connections_open
        )
        self.journal = Journal(self.config.journal_size)
        self.agenda = Agenda()
        self.faults = FaultBook(self.config.seed)
        self.instances: dict[str, Instance] = {}
        self.budgets: dict[str, Budget] = {}
        self.bursts: dict[str, tuple[str, int]] = {}
        """Throttle bursts by instance: the rule, and how many next calls it still refuses."""
        self.outbox: deque[tuple[str, dict[str, Any]]] = deque()
        """Automation calls waiting to be sent: URL and body."""
        self.ordinal = 0
        self._latency_draws: defaultdict[str, int] = defaultdict(int)
        for declared in self._initial_instances:
            self.declare(declared)
        for given in self.config.faults:
            self.faults.add(given, now=self.clock.now())

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Turn knobs; nothing changes if one of them cannot be turned."""
        self.config = self.config.changed(changes)
        self.journal.resize(self.config.journal_size)
        for name, budget in self.budgets.items():
            budget.resize(self._windows_of(self.instances[name].declared))

    def declare(self, declared: InstanceSeed) -> None:
        """Add an instance, or start one of that name afresh."""
        self.instances[declared.name] = Instance(declared, seed=self.config.seed)
        self.budgets[declared.name] = Budget(self._windows_of(declared), started_at=self.clock.now())

    def remove_faults(self, rule_id: str | None = None) -> int:
        """Remove one rule or all, and the throttle bursts they began; answers how many rules."""
        self.bursts = {
            name: (begun_by, left)
            for name, (begun_by, left) in self.bursts.items()
            if rule_id is not None and begun_by != rule_id
        }
        return self.faults.remove(rule_id)

    def latency_s(self, call: Call) -> float:
        """How long this call's answer takes, drawn per marker (or path) and times seen."""
        config = self.config
        if not config.latency_jitter_ms:
            return config.latency_ms / 1000
        key = f"{call.method} {call.marker or call.target.path}"
        self._latency_draws[key] += 1
        jitter = draw(config.seed, "latency", key, self._latency_draws[key])
        return (config.latency_ms + config.latency_jitter_ms * jitter) / 1000

    def entered(self, column: ColumnSeed, opportunity_id: int, *, call: Call | None, instance: Instance) -> None:
        """Run the automation of a column an opportunity has just entered: what a duplicate would do twice."""
        if column.automation is None:
            return
        marker = instance.opportunities[opportunity_id].marker
        ordinal = call.ordinal if call else 0
        now = self.clock.now()
        path = f"/crmopportunity/{opportunity_id}"
        self.journal.write(
            ("automation", ordinal, now, instance.name, "", path, marker, None, True, None, column.automation)
        )
        if column.automation_url:
            body = {"automation": column.automation, "id": opportunity_id, "crm_column": column.id}
            self.outbox.append((column.automation_url, {**body, "instance": instance.name}))

    def _windows_of(self, declared: InstanceSeed) -> Any:
        return parse_windows(self.config.throttle if declared.throttle is None else declared.throttle)
