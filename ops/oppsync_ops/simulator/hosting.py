"""Runs the simulator where there is no event loop yet: in a thread for synchronous tests, or as a process."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from oppsync_ops.simulator.config import SimulatorConfig
from oppsync_ops.simulator.seed import InstanceSeed, read_seed_file
from oppsync_ops.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    from oppsync_ops.simulator.journal import Filter

_T = TypeVar("_T")


class HostedSimulator:
    """A simulator in another thread: the same verbs, safe to call from this one."""

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self._simulator = simulator
        self._loop = loop
        self.url = simulator.url

    def call(self, ask: Callable[[Simulator], _T]) -> _T:
        """Run ``ask`` in the simulator's thread and answer what it answers."""

        async def asked() -> _T:
            return ask(self._simulator)

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result()

    def advance(self, seconds: float) -> None:
        """Move a stepped clock."""
        self.call(lambda sim: sim.advance(seconds))

    def add_fault(self, given: str | Mapping[str, Any]) -> str:
        """Append a fault rule; answers its id."""
        return self.call(lambda sim: sim.add_fault(given))

    def remove_faults(self, rule_id: str | None = None) -> int:
        """Remove one rule, or all; answers how many."""
        return self.call(lambda sim: sim.remove_faults(rule_id))

    def declare(self, instance: InstanceSeed | Mapping[str, Any]) -> InstanceSeed:
        """Add an instance, or start it afresh."""
        return self.call(lambda sim: sim.declare(instance))

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a time."""
        self.call(lambda sim: sim.refuse(seconds))

    def restart(self, seconds: float) -> None:
        """Stop, and come back with the state kept."""
        self.call(lambda sim: sim.restart(seconds))

    def configure(self, **knobs: Any) -> None:
        """Turn knobs."""
        self.call(lambda sim: sim.configure(**knobs))

    def reset(self, *, seed: int | None = None) -> None:
        """Back to the exact initial state."""
        self.call(lambda sim: sim.reset(seed=seed))

    def expect(self, instance: str, markers: Iterable[str]) -> None:
        """Markers that should end up with an opportunity."""
        self.call(lambda sim: sim.expect(instance, markers))

    def counters(self, *, by_marker: bool = False) -> dict[str, Any]:
        """What ``GET /__sim/counters`` answers."""
        return self.call(lambda sim: sim.counters(by_marker=by_marker))

    def records(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Every stored opportunity, with the updates applied to it in order."""
        return self.call(lambda sim: sim.records(instance))

    def journal(self, wanted: Filter | None = None) -> list[dict[str, Any]]:
        """The journal rows that are left."""
        return self.call(lambda sim: sim.journal(wanted))


@contextmanager
def running_simulator(
    config: SimulatorConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state_path: Path | None = None,
) -> Iterator[HostedSimulator]:
    """Serve from a thread for the length of the block."""
    ready = threading.Event()
    outcome: dict[str, Any] = {}

    async def serve_until_told() -> None:
        outcome["stop"], outcome["loop"] = asyncio.Event(), asyncio.get_running_loop()
        async with Simulator.start(host, port, config, state_path=state_path) as simulator:
            outcome["simulator"] = simulator
            ready.set()
            await outcome["stop"].wait()

    def host_it() -> None:
        try:
            run_loop(serve_until_told())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
            outcome["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=host_it, name="simulator", daemon=True)
    thread.start()
    ready.wait()
    if "simulator" not in outcome:
        thread.join()
        raise outcome["error"]
    try:
        yield HostedSimulator(outcome["simulator"], outcome["loop"])
    finally:
        outcome["loop"].call_soon_threadsafe(outcome["stop"].set)
        thread.join()


async def serve(
    config: SimulatorConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state_path: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. One line of JSON on standard output says when and where it is ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator.start(host, port, config, state_path=state_path) as simulator:
        print(json.dumps({"event": "simulator_ready", "url": simulator.url}, separators=(",", ":")), flush=True)
        await stop.wait()


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    latency_ms: float = 0.0,
    latency_jitter_ms: float = 0.0,
    throttle: str = "50/30s",
    clock: str = "real",
    faults: Iterable[str] = (),
    knobs: Mapping[str, Any] | None = None,
    seed_file: Path | None = None,
    state_path: Path | None = None,
    log_level: str = "warning",
) -> None:
    """What ``oppsync simulator`` does. Raises ValueError that names an option it cannot use."""
    config = SimulatorConfig(
        seed=seed,
        latency_ms=latency_ms,
        latency_jitter_ms=latency_jitter_ms,
        throttle=throttle,
        clock=clock,
        faults=tuple(faults),
        instances=None if seed_file is None else read_seed_file(seed_file),
    ).changed(knobs or {})
    logging.basicConfig(level=log_level.upper())
    run_loop(serve(config, host=host, port=port, state_path=state_path))


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run`` on uvloop where it is installed: twice the rate."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
