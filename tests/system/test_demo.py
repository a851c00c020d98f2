"""The demo, as `bash ops/demo` runs it once everything is set up."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("options", [[], ["--kill"]], ids=["plain", "kill -9 in the middle"])
def test_the_demo_loses_and_doubles_nothing(options: list[str], tmp_path: Path) -> None:
    """Exit code 0, the verdict on the last line, and nothing left behind."""
    code, said, complained = ended([sys.executable, "-m", "oppsync_ops.demo", *options], tmp_path)

    assert code == 0, said + complained
    verdict = json.loads(said.splitlines()[-1])
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
    assert "Traceback" not in said + complained
    assert not list((tmp_path / ".oppsync").glob("demo-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_takes_everything_with_it(number: signal.Signals, tmp_path: Path) -> None:
    """A terminal that is closed must not leave a Redis and a worker behind."""
    with subprocess.Popen([sys.executable, "-m", "oppsync_ops.demo"], cwd=tmp_path, stdout=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        assert any(b"Redis and a simulated SprintHub are up" in line for line in demo.stdout)
        demo.send_signal(number)
        demo.stdout.read()

    assert demo.returncode == 130
    assert not list((tmp_path / ".oppsync").glob("demo-*"))


def ended(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output and error. Whoever is interrupted lets it clean up."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **piped) as process:
        try:
            said, complained = process.communicate(timeout=110)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, said, complained
