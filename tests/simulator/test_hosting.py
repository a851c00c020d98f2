"""The simulator in a thread, as a process, and under many connections."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from oppsync_ops.simulator import SimulatorConfig, running_simulator
from oppsync_ops.simulator.command import simulator as command
from simulator.integrator import Simulate

HEADERS = {"apitoken": "acme-token-1234"}
BODY = {"title": "t [m1]", "crm_column": 130, "lead_id": 1, "sequence": "0"}


def test_synchronous_code_hosts_it_in_a_thread() -> None:
    """The same verbs, from another thread."""
    with running_simulator(SimulatorConfig(throttle="off", clock="stepped")) as sim:
        url = f"{sim.url}/crmopportunity?id=7&i=acme"
        rule = sim.add_fault("gateway:commit=yes,times=1")
        sim.expect("acme", ["m1", "m2"])
        statuses = [httpx.post(url, json=BODY, headers=HEADERS).status_code for _ in range(2)]
        sim.advance(5)
        sim.declare({"name": "initech", "token": "t"})
        assert sim.remove_faults(rule) == 1
        sim.configure(put_fields="replace")
        figures, records, journal = sim.counters(by_marker=True), sim.records("acme"), sim.journal()
        sim.reset()
        left = sim.records()

    assert (rule, statuses, left) == ("gateway#1", [502, 200], [])
    assert figures["instances"]["acme"]["markers"]["m1"]["opportunities_created"] == len(records) == 2
    assert len(journal) == 4
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_simulator_that_cannot_start_says_so_to_its_host() -> None:
    """In the thread that asked."""
    with pytest.raises(ValueError, match="explode"), running_simulator(SimulatorConfig(faults=("explode",))):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_announces_itself_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """One line of JSON at the start, exit 0 at the end, the state in its file."""
    state = tmp_path / "state.json"
    code = "from oppsync_ops.simulator.command import simulator; simulator()"
    options = ["--port=0", "--throttle=off", "--fault=http:status=503,nth=2", "--set=empty_lead=empty"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options, f"--state-file={state}"], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        url = f"{announced['url']}/crmopportunity?id=7&i=acme"
        statuses = [httpx.post(url, json=BODY, headers=HEADERS).status_code for _ in range(2)]
        process.send_signal(number)
        rest, code_of_exit = process.stdout.read(), process.wait(10)

    assert announced["event"] == "simulator_ready"
    assert statuses == [200, 503]
    assert (rest, code_of_exit) == ("", 0)
    assert len(json.loads(state.read_text())["instances"][0]["opportunities"]) == 1


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--fault=explode", "explode"),
        ("--fault=slow:ms=x", "slow: ms"),
        ("--throttle=fast", "fast"),
        ("--clock=fast", "clock is"),
        ("--set=colour=red", "colour"),
        ("--set=colour", "KNOB=VALUE"),
    ],
)
def test_a_bad_option_is_named(option: str, named: str) -> None:
    """Exit code 2: used wrongly."""
    outcome = CliRunner().invoke(command, ["--port=0", option])

    assert outcome.exit_code == 2
    assert named in outcome.output


async def test_a_thousand_slow_connections(simulate: Simulate) -> None:
    """All open at once, each answered after its latency."""
    crm = await simulate(clock="real", latency_ms=100)
    port = int(crm.sim.url.rsplit(":", 1)[1])
    body = json.dumps(BODY)
    request = (
        "POST /crmopportunity?id=7&i=acme HTTP/1.1\r\nHost: x\r\napitoken: acme-token-1234\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    streams = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(1000)))
    peak = crm.sim.counters()["connections"]["peak"]

    for _, writer in streams:
        writer.write(request)
    answers = await asyncio.gather(*(reader.read() for reader, _ in streams))
    for _, writer in streams:
        writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert len(crm.sim.records()) == 1000
    assert peak >= 900
