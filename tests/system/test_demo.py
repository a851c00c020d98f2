"""The demo, as `bash ops/demo` runs it once everything is set up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("options", [[], ["--kill"]], ids=["plain", "kill -9 in the middle"])
def test_the_demo_loses_and_doubles_nothing(options: list[str], tmp_path: Path) -> None:
    """Exit code 0, the verdict on the last line, and nothing left behind."""
    done = subprocess.run(
        [sys.executable, "-m", "oppsync_ops.demo", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert set(verdict) == {
        *(
            "enqueued",
            "succeeded",
            "dead",
            "in_doubt",
            "doubts_settled",
            "replayed",
            "crm_records",
            "duplicates",
            "lost",
        ),
    }
    assert (verdict["enqueued"], verdict["succeeded"], verdict["replayed"]) == (300, 300, 3)
    assert (verdict["in_doubt"], verdict["duplicates"], verdict["lost"]) == (0, 0, 0)
    assert verdict["doubts_settled"] >= 3
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / ".oppsync").glob("demo-*"))
