"""What only a real process shows: exit codes, pipes that close, interrupts, and how little `--help` imports."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.cli.lives import Lives
from stage import eventually

OPPSYNC = [sys.executable, "-m", "oppsync_ops.cli.main"]
HEAVY = {"redis", "pydantic", "rich", "celery", "httpx", "asyncio"}


@pytest.fixture
def environ(redis_url: str) -> dict[str, str]:
    """A process' environment."""
    return {**os.environ, "REDIS_URL": redis_url, "OPPSYNC_DEBUG": ""}


def test_help_imports_nothing_heavy() -> None:
    """So that it is there at once."""
    code = (
        "import sys\n"
        "from oppsync_ops.cli.root import oppsync\n"
        "try:\n    oppsync.main(['--help'], 'oppsync')\n"
        f"except SystemExit:\n    print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dead" in run.stdout
    assert run.stderr.strip() == "[]"


def test_without_click_there_is_an_answer() -> None:
    """A producing application installs the distribution without the command line's packages."""
    code = "import sys; sys.modules['click'] = None; from oppsync_ops.cli.main import main; main()"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run.returncode == 2
    assert run.stderr == "oppsync: the command line is an extra: pip install 'opportunity-sync[ops]'\n"


def test_the_exit_code_is_the_process_own(environ: dict[str, str]) -> None:
    """0, 1 and 2."""

    def code(*args: str) -> int:
        return subprocess.run([*OPPSYNC, *args], env=environ, capture_output=True, check=False).returncode

    assert (code("status"), code("job", "show", "nobody"), code("job", "show")) == (0, 1, 2)


@pytest.mark.parametrize("args", [("dead", "list", "--json"), ("dead", "export"), ("dead", "list")], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(lives: Lives, environ: dict[str, str], args: tuple[str, ...]) -> None:
    """`| head -1` ends the command without a word."""
    for number in range(40):
        lives.dead(external_ref=f"{number}" * 50)

    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [*OPPSYNC, *args, "--limit", "40"], env=environ, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)

    assert "Traceback" not in run.stderr
    assert "BrokenPipe" not in run.stderr
    assert "Exception" not in run.stderr


def test_an_interrupt_is_quiet(lives: Lives, environ: dict[str, str]) -> None:
    """Ctrl-C while waiting: no traceback, exit code 130."""
    job = lives.create()
    lives.client.config_resetstat()
    process = subprocess.Popen(
        [*OPPSYNC, "job", "wait", job.job_id], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: "cmdstat_hmget" in lives.client.info("commandstats"), what="its first look at the job")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert (out, err.strip()) == ("", "")


def test_names_outside_of_ascii_survive_a_plain_terminal(lives: Lives, environ: dict[str, str]) -> None:
    """A terminal that cannot show a letter gets its number."""
    job_id = lives.dead()

    run = subprocess.run(
        [*OPPSYNC, "dead", "show", job_id, "--reveal"],
        env={**environ, "PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0
    assert "Casa de Jo\\xe3o" in run.stdout


def test_worker_refuses_wrong_settings_in_words(environ: dict[str, str], tmp_path: Path) -> None:
    """Before Celery is even imported."""
    bare = {name: value for name, value in environ.items() if not name.startswith("SPRINTHUB")}

    run = subprocess.run(
        [*OPPSYNC, "worker"], env=bare, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert run.returncode == 2
    assert run.stderr.startswith("oppsync: no SprintHub instance is set")
    assert not (tmp_path / ".oppsync").exists()


def test_worker_starts_the_embedded_redis_and_stops_on_sigterm(environ: dict[str, str], tmp_path: Path) -> None:
    """From nothing to a worker that gives signs of life, in one command."""
    bare = {name: value for name, value in environ.items() if name != "REDIS_URL"}
    bare |= {"SPRINTHUB_INSTANCE": "acme", "SPRINTHUB_API_TOKEN": "s3cret-token"}
    log = tmp_path / "log"

    with log.open("wb") as output:
        process = subprocess.Popen(
            [*OPPSYNC, "worker", "--concurrency", "3", "--log", "json", "--name", "w9@%h"],
            env=bare, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            eventually(lambda: process.poll() is not None or alive(bare, tmp_path), what="a worker")
            process.terminate()
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            subprocess.run([*OPPSYNC, "redis", "stop"], env=bare, cwd=tmp_path, check=True, capture_output=True)

    assert process.returncode == 0, log.read_text("utf-8")
    assert "s3cret" not in log.read_text("utf-8")


def alive(environ: dict[str, str], folder: Path) -> bool:
    """Whether `status` counts a worker."""
    run = subprocess.run(
        [*OPPSYNC, "status", "--json"], env=environ, cwd=folder, capture_output=True, text=True, check=False
    )
    return run.returncode == 0 and bool(json.loads(run.stdout)["workers"])
