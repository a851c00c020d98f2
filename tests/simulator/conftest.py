"""A simulator with a stepped clock and no throttle, and an integrator who calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from oppsync_ops.simulator import Simulator, SimulatorConfig
from simulator.integrator import Eventually, Integrator, Simulate


@pytest.fixture
async def simulate() -> AsyncIterator[Simulate]:
    """Start simulators with the given knobs; none of them may have failed inside."""
    async with AsyncExitStack() as stack:
        started: list[Simulator] = []

        async def start(*, instance: str = "acme", **knobs: Any) -> Integrator:
            config = SimulatorConfig(**{"clock": "stepped", "throttle": "off", **knobs})
            sim = await stack.enter_async_context(Simulator.start(config=config))
            started.append(sim)
            transport = httpx.AsyncHTTPTransport(verify=False, limits=httpx.Limits(max_connections=None))
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, timeout=10))
            return Integrator(sim, http, instance)

        yield start
        for sim in started:
            assert sim.counters()["internal_errors"] == 0


@pytest.fixture
async def crm(simulate: Simulate) -> Integrator:
    """An integrator of ``acme``; throttle off, stepped clock, every other knob at its default."""
    return await simulate()


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop run until an effect is there."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - any effect, whoever brings it about
            await asyncio.sleep(0.001)


@pytest.fixture
def eventually() -> Eventually:
    """Wait on an effect, not on a clock."""
    return until
