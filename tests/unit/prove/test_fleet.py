"""Whoever ends unasked is noted, whoever finds it."""

import sys
from pathlib import Path

from oppsync_ops.processes import Processes
from oppsync_ops.prove.contender import Command
from oppsync_ops.prove.fleet import Fleet
from stage import eventually


def test_a_kill_does_not_cover_up_a_worker_that_had_ended(tmp_path: Path) -> None:
    """It was dead before the driver came for it, and before the supervisor looked."""
    with Processes(tmp_path) as processes:
        ends = Command([sys.executable, "-c", "raise SystemExit(3)"], {})
        fleet = Fleet(processes, lambda _worker: ends, workers=1, patience_s=5)
        with fleet.held(0):
            fleet.start(0)
            name = fleet.name(0)
            (life,) = fleet.lives
            assert name.endswith(str(life.pid))
            eventually(lambda: Path(f"/proc/{life.pid}/stat").read_text().split()[2] == "Z", what="the worker's end")

            fleet.kill(0)

    assert fleet.exits == ["worker-0.1 ended by itself with 3: "]
