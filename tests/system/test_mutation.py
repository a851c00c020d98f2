"""The mutation run, as a developer starts it: a short form of it, on real tests in a copy of the checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

from mutation.targets import ROOT, mutants_of

VERDICTS = "worker/oppsync_worker/policy/backoff.py"


def mutate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-W", "ignore", "-m", "mutation", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": "tests", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
def test_a_fault_is_put_in_and_noticed_and_the_checkout_is_left_alone(tmp_path: Path) -> None:
    """The tests of the copy run against the copy."""
    before = (ROOT / VERDICTS).read_bytes()
    one = next(one for one in mutants_of(VERDICTS) if one.what == "another operator")

    done = mutate("--target", "policy", "--stages", "1", "--only", one.name, "--report", str(tmp_path / "report.jsonl"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "noticed" in done.stdout
    assert one.name in (tmp_path / "report.jsonl").read_text()
    assert (ROOT / VERDICTS).read_bytes() == before


def test_an_unknown_target_is_refused() -> None:
    """With the names that there are."""
    done = mutate("--target", "ledgers")

    assert done.returncode == 2
    assert "ledger, ledger-python" in done.stderr
