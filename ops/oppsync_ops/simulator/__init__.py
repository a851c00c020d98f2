"""A simulated SprintHub CRM: a real HTTP server on loopback for tests, demos and fault proofs.

It is the independent witness: it imports nothing of the worker or the producers, and what it counts is what the CRM
would have seen. Its behaviour follows the SprintHub API notes; where those are unsure, a knob decides.

    async with Simulator.start(config=SimulatorConfig(throttle="off")) as sim:
        sim.add_fault("drop_after_commit:p=0.05,method=POST")
        ... call sim.url ...
        assert sim.counters()["instances"]["acme"]["duplicates"] == 0
"""

from oppsync_ops.simulator.config import SimulatorConfig
from oppsync_ops.simulator.fault_rules import FaultRule
from oppsync_ops.simulator.hosting import HostedSimulator, run, running_simulator, serve
from oppsync_ops.simulator.journal import Filter
from oppsync_ops.simulator.seed import ColumnSeed, FunnelSeed, InstanceSeed
from oppsync_ops.simulator.server import Simulator

__all__ = [
    "ColumnSeed",
    "FaultRule",
    "Filter",
    "FunnelSeed",
    "HostedSimulator",
    "InstanceSeed",
    "Simulator",
    "SimulatorConfig",
    "run",
    "running_simulator",
    "serve",
]
