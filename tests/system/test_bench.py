"""Every measurement runs, on real processes, and cleans up. How fast anything is, is not asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from oppsync_ops.bench.command import bench

BRIEFLY = ["--quick", "--seconds", "2", "--jobs", "300", "--concurrency", "50"]


def run(*arguments: str) -> Result:
    """The command, in this process; its measurements are processes of their own."""
    return CliRunner().invoke(bench, [*BRIEFLY, *arguments], standalone_mode=False)


def figures(*arguments: str) -> dict[str, Any]:
    """What it prints as JSON."""
    done = run("--json", *arguments)
    assert done.exception is None, done.output
    return dict(json.loads(done.stdout))


def test_enqueue_and_import() -> None:
    """Both settings of fsync; two statements, neither of which loads anything heavy."""
    found = figures("--only", "enqueue", "--only", "import")

    assert [one["fsync"] for one in found["enqueue"]["handovers"]] == ["everysec", "always"]
    for one in found["enqueue"]["handovers"]:
        assert one["calls"] == 300
        assert 0 < one["p50_ms"] <= one["p99_ms"] <= one["most_ms"]
        assert one["bytes_per_job"] > 0
    assert len(found["import"]["imports"]) == 2
    assert found["import"]["problems"] == []


def test_throughput() -> None:
    """Ours and both pools of plain Celery, against the same CRM; every call succeeds."""
    found = figures("--only", "throughput")["throughput"]

    assert [one["setup"]["pool"] for one in found["runs"]] == ["oppsync", "prefork", "threads"]
    for one in found["runs"]:
        assert one["jobs_per_s"] > 0
        assert one["calls"] > 0
    assert found["problems"] == []


def test_budget() -> None:
    """Calls were made and spaced, and none of them was throttled."""
    found = figures("--only", "budget")["budget"]["uses"][0]

    assert 0 < found["calls"] <= found["requests"]
    assert found["gaps"]["least_ms"] <= found["gaps"]["median_ms"] <= found["gaps"]["most_ms"]
    assert found["throttled"] == 0


def test_a_table_for_people_and_nothing_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings and rows; the temporary folder is empty afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    done = run("--only", "import")

    assert done.exception is None
    assert "import oppsync" in done.stdout
    assert not list(tmp_path.iterdir())
