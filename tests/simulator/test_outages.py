"""Connections refused, closed on arrival, and a CRM that stops and comes back."""

import asyncio
from pathlib import Path

import httpx
import pytest

from oppsync_ops.simulator import Simulator, SimulatorConfig
from simulator.integrator import Eventually, Integrator, Simulate


async def test_connections_are_refused_for_a_time(crm: Integrator, eventually: Eventually) -> None:
    """The call that set it off is answered; then TCP refuses, on the same port, until the time is over."""
    url = crm.sim.url
    crm.sim.add_fault("refuse_connection:s=5,nth=1")

    assert (await crm.create("m1")).status_code == 200
    await eventually(lambda: not crm.sim.listening)
    with pytest.raises(httpx.ConnectError):
        await crm.create("m2")
    crm.sim.advance(5)
    await eventually(lambda: crm.sim.listening)

    assert (await crm.create("m2")).status_code == 200
    assert crm.sim.url == url
    assert crm.figures()["duplicates"] == 0


async def test_an_outage_lets_calls_in_progress_finish(crm: Integrator, eventually: Eventually) -> None:
    """Refusing is not breaking; idle connections are closed."""
    crm.sim.add_fault("slow:ms=1000,times=1")
    slow = asyncio.create_task(crm.create("slow"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)
    crm.sim.add_fault("refuse_connection:s=60,times=1")
    assert (await crm.create("trigger")).status_code == 200
    await eventually(lambda: not crm.sim.listening)

    crm.sim.advance(1)

    assert (await slow).status_code == 200
    await eventually(lambda: crm.sim.counters()["connections"]["open"] == 0)


async def test_a_connection_is_closed_on_accept(crm: Integrator) -> None:
    """Nothing is read; the client cannot know."""
    crm.sim.add_fault("close_on_accept:times=2")

    for _ in range(2):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
            await crm.create("m1")

    assert (await crm.create("m1")).status_code == 200
    assert crm.sim.counters()["connections"]["closed_on_accept"] == 2
    assert crm.figures()["received"] == 1


async def test_a_restart_breaks_calls_in_progress_and_keeps_the_state(crm: Integrator, eventually: Eventually) -> None:
    """What was to be committed at the end is lost with its process; what was committed stays."""
    await crm.created("before")
    crm.sim.add_fault("slow:ms=60000,commit=end,marker=lost")
    crm.sim.add_fault("late_commit:s=10,marker=late")
    lost = asyncio.create_task(crm.create("lost"))
    await eventually(lambda: crm.sim.simulation.clock.sleeping == 1)
    await crm.create("late")
    crm.sim.add_fault("restart:s=30")

    assert (await crm.create("trigger")).status_code == 200
    with pytest.raises(httpx.TransportError):
        await lost
    with pytest.raises(httpx.ConnectError):
        await crm.create("during")
    crm.sim.remove_faults()
    crm.sim.advance(30)
    await eventually(lambda: crm.sim.listening)
    crm.sim.advance(60)

    assert (await crm.create("after")).status_code == 200
    assert {record["marker"] for record in crm.sim.records()} == {"before", "late", "trigger", "after"}


async def test_reset_ends_an_outage(crm: Integrator, eventually: Eventually) -> None:
    """The exact initial state listens."""
    crm.sim.add_fault("refuse_connection:s=500")
    await crm.create()
    await eventually(lambda: not crm.sim.listening)

    crm.sim.reset()
    await eventually(lambda: crm.sim.listening)

    assert (await crm.create()).status_code == 200


async def test_a_process_comes_back_with_its_state(simulate: Simulate, tmp_path: Path) -> None:
    """Through the state file: data, orders, appointments, counts, ids, clock."""
    client = await simulate()
    path = tmp_path / "state.json"
    config = SimulatorConfig(clock="stepped", throttle="off", faults=("late_commit:s=50,seen=1,marker=late",))
    async with Simulator.start(config=config, state_path=path) as sim:
        crm = Integrator(sim, client.http)
        first, second = await crm.created("m1"), await crm.created("m2")
        await crm.create("late")
        await crm.update(first["id"], title="touched", status="gain")
        sim.advance(20)
        rows, records, lead = (await crm.by_column()).text, sim.records(), (await crm.by_lead()).text
        figures = crm.figures()

    async with Simulator.start(config=config, state_path=path) as sim:
        crm = Integrator(sim, client.http)
        assert ((await crm.by_column()).text, sim.records(), (await crm.by_lead()).text) == (rows, records, lead)
        assert crm.figures()["markers"] == figures["markers"]
        assert (await crm.created("m3"))["id"] == second["id"] + 1
        sim.advance(30)
        assert len(sim.records()) == 4
        assert (await crm.create("late")).status_code == 200


async def test_a_file_that_is_not_a_state_is_refused(tmp_path: Path) -> None:
    """By name."""
    path = tmp_path / "state.json"
    for content in ("{}", "nonsense", '{"version": 99}', "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"state\.json is not a state file"):
            async with Simulator.start(config=SimulatorConfig(), state_path=path):
                pass


async def test_a_connection_used_for_control_carries_no_calls_through_an_outage(crm: Integrator) -> None:
    """The client pools its connections; the outage holds for calls of the CRM on any of them."""
    await crm.http.post(f"{crm.sim.url}/__sim/refuse", json={"s": 60})

    with pytest.raises(httpx.TransportError):
        await crm.create("m1")
    with pytest.raises(httpx.ConnectError):
        await crm.create("m1")

    assert crm.sim.records() == []


async def test_a_taken_port_is_refused(crm: Integrator) -> None:
    """Two simulators never share one port."""
    port = int(crm.sim.url.rsplit(":", 1)[1])

    with pytest.raises(OSError, match="in use"):
        async with Simulator.start(port=port, config=SimulatorConfig()):
            pass
