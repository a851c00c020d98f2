"""The proof itself, on real processes and under every fault: nothing lost, nothing doubled, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oppsync_ops.prove.audit import CHECKS
from oppsync_ops.prove.command import prove
from oppsync_ops.prove.failover.audit import CHECKS as FAILOVER_CHECKS
from oppsync_ops.prove.flood.audit import KINDS
from oppsync_ops.prove.neighbours import LANES
from oppsync_ops.prove.plan import Options, Plan
from oppsync_ops.prove.run import Teller, run
from oppsync_ops.prove.schedule import Fault
from oppsync_ops.prove.stock import Stock
from oppsync_ops.prove.waits import Phase
from stage import eventually

BRIEFLY = ["--jobs", "450", "--minutes", "0.45", "--workers", "3", "--seed", "2024"]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs make their folders."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_is_doubled_whatever_dies(folders: Path) -> None:
    """No check finds anything, though every fault was committed and many jobs were hit; the folder is gone."""
    report = folders.parent / "report.json"

    done = CliRunner().invoke(prove, [*BRIEFLY, "--json", "--report", str(report)], standalone_mode=False)

    assert done.exception is None, done.output
    document = json.loads(done.stdout)
    (ours,) = document["runs"]
    assert ours["breaches"] == {check: [] for check in CHECKS}, told(document)
    assert not any(ours["waiting_for_a_person"].values())
    assert (ours["withheld"], done.return_value) == (0, 0)
    times = {one["fault"]: one["times"] for one in ours["faults"]}
    assert all(times[fault] for fault in Fault if fault is not Fault.KILLER)
    assert times["answer lost after commit"] + times["answer lost after commit, list lags"] > 5
    assert sum(one["jobs"] for one in ours["recoveries"].values()) > 0
    assert ours["records"] > 100
    told_of = json.loads(report.read_text("utf-8"))[0]
    jobs = told_of["jobs"]
    assert len(jobs) == 450
    assert len(told_of["beside"]) > 13 * 450, "the neighbours' backlogs, and the quiet jobs"
    waits = {(one["phase"], one["lane"]): one for one in ours["waits"]}
    assert {(phase.value, lane) for phase in (Phase.CALM, Phase.BESIDE) for lane in LANES} <= set(waits)
    assert all(waits[Phase.BESIDE.value, lane]["jobs"] > 50 for lane in LANES)
    assert any(len(job["hits"]) > 1 for job in jobs.values())
    assert list(folders.iterdir()) == []


@pytest.mark.timeout(200)
def test_a_flood_with_kills_has_the_same_zeros(folders: Path) -> None:
    """Nothing lost, doubled or misordered among thousands of jobs, though workers and Redis are killed all along."""
    arguments = ["--flood", "--jobs", "3000", "--seed", "2024", "--json"]

    done = CliRunner().invoke(prove, arguments, standalone_mode=False)

    assert done.exception is None, done.output
    found = json.loads(done.stdout)
    assert found["breaches"] == dict.fromkeys(KINDS, 0), found["examples"]
    assert (found["exits"], found["put_right_by_the_sweep"], found["gave_up"]) == ([], {}, False)
    assert (found["handed"], done.return_value) == (3000, 0)
    assert found["kills"]["worker"] >= 5
    assert found["kills"]["redis"] >= 1
    assert found["kills"]["jobs_in_hand"] > 0
    assert list(folders.iterdir()) == []


@pytest.mark.timeout(250)
def test_what_the_promoted_replica_had_survives_a_failover(folders: Path) -> None:
    """The primary dies while its replica lags: what is forgotten was acknowledged in that time, and nothing else."""
    done = CliRunner().invoke(prove, ["--failover", "--seed", "2024", "--json"], standalone_mode=False)

    assert done.exception is None, done.output
    found = json.loads(done.stdout)
    assert found["breaches"] == {check: [] for check in FAILOVER_CHECKS}
    assert done.return_value == 0
    assert len(found["failovers"]) == 2
    assert len(found["forgotten"]) <= found["at_risk"]
    assert found["at_risk"] > 0
    assert list(folders.iterdir()) == []


@pytest.mark.timeout(300)
def test_the_same_plan_breaks_an_ordinary_set_up(tmp_path: Path) -> None:
    """Its workers do not survive a queue element that is no job, and nobody is told what became of it."""
    plan = Plan.draw(Options(seed=5, jobs=60, minutes=0.1, workers=2))
    hurried = replace(plan, form=replace(plan.form, visibility_s=6, patience_s=5.0))

    found = run(hurried, Stock, tmp_path, Teller())

    assert len(found.evidence.records) > 10
    assert len(found.audit.breaches["poison"]) == len(plan.poison)
    assert found.audit.breaches["worker exits"]


@pytest.mark.timeout(120)
def test_whoever_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM in the middle: exit code 130, no process and no folder."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "oppsync_ops.cli.main", "prove", *BRIEFLY]
    piped = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environ, **piped) as process:
        assert process.stderr is not None
        assert any(" faults in " in line for line in process.stderr), "jobs are handed over by now"
        children = grown_up(process.pid)
        assert children

        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 130
    assert eventually(lambda: not any(map(alive, children)))
    assert list(tmp_path.iterdir()) == []


def told(document: dict[str, Any]) -> str:
    """What a person needs to look into a breach."""
    ours = document["runs"][0]
    return json.dumps({**{k: v for k, v in ours["breaches"].items() if v}, "explained": ours["explained"]}, indent=1)


def grown_up(pid: int) -> list[int]:
    """The children of a process, once there is a worker among them."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        lines = [Path(f"/proc/{child}/cmdline").read_text("utf-8") for child in children]
    except OSError:
        return []
    return [int(child) for child in children] if any("oppsync_worker.app" in line for line in lines) else []


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return False
