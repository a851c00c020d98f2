"""The running simulator: a real HTTP server around one ``Simulation``.

``Simulator.start`` is for asyncio code; ``hosting`` runs the same thing in a thread or as a process.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from oppsync_ops.connections import Connections
from oppsync_ops.simulator import state_file
from oppsync_ops.simulator.appointments import settle
from oppsync_ops.simulator.automations import Automations
from oppsync_ops.simulator.call import parse_target
from oppsync_ops.simulator.config import SimulatorConfig
from oppsync_ops.simulator.control import Control
from oppsync_ops.simulator.control_views import records
from oppsync_ops.simulator.fault_rules import FaultRule
from oppsync_ops.simulator.journal import Filter
from oppsync_ops.simulator.listening import Listening
from oppsync_ops.simulator.outages import Outage
from oppsync_ops.simulator.seed import InstanceSeed, default_keys, instance_from
from oppsync_ops.simulator.simulation import Simulation
from oppsync_ops.simulator.wire import Written, end_connection, received, sent, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from aiohttp.web_protocol import RequestHandler


CONTROL_PREFIX: Final = "/__sim/"
_LARGEST_CONTROL_BODY: Final = 64 * 1_048_576
_KEEP_ALIVE_S: Final = 3600.0
_LINGERING_S: Final = 1.0
_GRACE_S: Final = 0.05
"""What a request under way gets when the simulator is stopped."""


class _Connections(web.Server):
    """aiohttp's server, counting connections and closing those a fault closes on arrival."""

    simulator: Simulator

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._known = Connections()
        self._deserted: set[asyncio.Task[None]] = set()
        """What goes on for clients that have left: aiohttp forgets these tasks with their connection."""

    async def end(self) -> None:
        """Break what is open, and return when nothing is left of it. Nobody may be listening any more."""
        self.pre_shutdown()
        await self.shutdown(timeout=_GRACE_S)
        await self._known.end()
        deserted = list(self._deserted)
        for task in deserted:
            task.cancel()
        await asyncio.gather(*deserted, return_exceptions=True)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._known.made(handler, transport)
        sim = self.simulator.simulation
        sim.counters.connected()
        struck = sim.faults.strike_connection(now=sim.clock.now())
        if struck is not None:
            sim.counters.connections_closed_on_accept += 1
            end_connection(transport, reset=struck.parameters["how"] == "rst")

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._known.lost(handler)
        task = handler._task_handler  # noqa: SLF001 - the name by which aiohttp's own server knows it
        if task is not None and not task.done():
            self._deserted.add(task)
            task.add_done_callback(self._deserted.discard)
        self.simulator.simulation.counters.connections_open -= 1
        self.simulator.control_connections.discard(handler)


class Simulator:
    """A simulated SprintHub on ``url``, with its state at hand."""

    def __init__(self, config: SimulatorConfig | None = None, *, state_path: Path | None = None) -> None:
        self.simulation = Simulation(config or SimulatorConfig())
        self.host = ""
        self.control_connections: set[object] = set()
        """Connections the control endpoints were used on; an outage leaves them open."""
        self._state_path = state_path
        self._control = Control(self)
        self._automations = Automations()
        self._outage: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        config: SimulatorConfig | None = None,
        *,
        state_path: Path | None = None,
    ) -> AsyncIterator[Self]:
        """Serve for the length of the block. Port 0 takes a free one."""
        simulator = cls(config, state_path=state_path)
        await simulator.listen(host, port)
        try:
            yield simulator
        finally:
            await simulator.stop()

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self._listening.port}"

    @property
    def listening(self) -> bool:
        """False during an outage."""
        return self._listening.open

    async def listen(self, host: str, port: int) -> None:
        """Bind and serve; the state file, where there is one, is read first."""
        if self._state_path is not None and self._state_path.exists():
            state_file.load(self.simulation, self._state_path)
        self._server = _Connections(
            self._handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGERING_S,
        )
        self._server.simulator = self
        self.host = host
        self._listening = Listening(host, port, self._server)
        self._listening.start()

    async def stop(self) -> None:
        """Stop listening, break what is open, keep the state if there is a file for it."""
        if self._outage is not None:
            self._outage.cancel()
            await asyncio.gather(self._outage, return_exceptions=True)
        await self._listening.release()
        self.simulation.clock.release()
        await self._server.end()
        await self._automations.close()
        self._save()

    def advance(self, seconds: float) -> None:
        """Move a stepped clock."""
        self.simulation.clock.advance(seconds)
        settle(self.simulation, self.simulation.clock.now())

    def add_fault(self, given: str | Mapping[str, Any]) -> str:
        """Append a fault rule; answers its id."""
        return self.simulation.faults.add(given, now=self.simulation.clock.now())

    def add_faults(self, given: Iterable[str | Mapping[str, Any]]) -> list[str]:
        """Append several rules, or none if one of them cannot be read."""
        return [
            self.simulation.faults.add(rule, now=self.simulation.clock.now())
            for rule in [FaultRule.parse(one) for one in given]
        ]

    def remove_faults(self, rule_id: str | None = None) -> int:
        """Remove one rule, or all; answers how many."""
        return self.simulation.remove_faults(rule_id)

    def declare(self, instance: InstanceSeed | Mapping[str, Any]) -> InstanceSeed:
        """Add an instance, or start it afresh; what a mapping leaves out comes from the default seed."""
        declared = instance if isinstance(instance, InstanceSeed) else instance_from(instance, defaults=default_keys())
        self.simulation.declare(declared)
        return declared

    def configure(self, **knobs: Any) -> None:
        """Turn knobs."""
        self.simulation.configure(knobs)

    def reset(self, *, seed: int | None = None) -> None:
        """Back to the exact initial state, an outage included."""
        self.simulation.reset(seed=seed)
        if self._outage is not None and not self._outage.done():
            self._outage.cancel()
            self._listening.start()

    def expect(self, instance: str, markers: Iterable[str]) -> None:
        """Markers that should end up with an opportunity."""
        self.simulation.counters.expect(instance, markers)

    def counters(self, *, by_marker: bool = False) -> dict[str, Any]:
        """What ``GET /__sim/counters`` answers."""
        settle(self.simulation, self.simulation.clock.now())
        return self.simulation.counters.shown(by_marker=by_marker)

    def records(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Every stored opportunity, with the updates applied to it in order."""
        settle(self.simulation, self.simulation.clock.now())
        return list(records(self.simulation, instance))

    def journal(self, wanted: Filter | None = None) -> list[dict[str, Any]]:
        """The journal rows that are left."""
        return list(self.simulation.journal.rows(wanted))

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a time; calls in progress are answered."""
        self.begin_outage(Outage(seconds, restart=False))

    def restart(self, seconds: float) -> None:
        """Stop, and come back with the state kept; calls in progress are lost."""
        self.begin_outage(Outage(seconds, restart=True))

    def begin_outage(self, outage: Outage) -> None:
        """Stop listening for a time. One outage at a time: another one during it changes nothing."""
        if self._outage is not None and not self._outage.done():
            return
        self._listening.stop()
        if outage.restart:
            self.simulation.generation += 1
            self._save()
        for handler in self._server.connections:
            if handler in self.control_connections:
                continue
            if outage.restart:
                handler.force_close()
            else:
                handler.close()
        self._outage = asyncio.get_running_loop().create_task(self._come_back(outage.seconds))

    async def _come_back(self, seconds: float) -> None:
        await self.simulation.clock.sleep(seconds)
        self._listening.start()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = parse_target(request.raw_path)
        if target.path.startswith(CONTROL_PREFIX):
            self.control_connections.add(request.protocol)
            answered = await self._control.answer(request, target)
            self._automations.send(self.simulation.outbox)
            return answered
        sim = self.simulation
        if request.protocol in self.control_connections:
            self.control_connections.discard(request.protocol)
            if not self._listening.open and request.transport is not None:
                end_connection(request.transport, reset=False)
                return Written(b"", keep=False)
        call, at_once = await received(sim, request, target)
        if at_once is not None:
            sim.counters.unrouted += 1
            return sent(sim, request, call, at_once, close=True)
        answer, decision = await settled(sim, call)
        self._automations.send(sim.outbox)
        if decision.outage is None:
            return sent(sim, request, call, answer, close=not self._listening.open)
        written = sent(sim, request, call, answer, close=True)
        asyncio.get_running_loop().call_soon(self.begin_outage, decision.outage)
        return written

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_CONTROL_BODY)

    def _save(self) -> None:
        if self._state_path is not None:
            state_file.save(self.simulation, self._state_path)
