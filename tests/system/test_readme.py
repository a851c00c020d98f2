"""The README is true: what it shows is run here, and what it names exists."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops.simulator import HostedSimulator
from stage import BIN, Worker, eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "ops" / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> Iterator[str]:
    """Every shell command, without its comment."""
    for block in blocks("sh"):
        for line in block.splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            if command:
                yield command


def test_the_python_example_runs(redis_url: str, tmp_path: Path) -> None:
    """As it stands, with the address changed to where Redis is."""
    (example,) = [block for block in blocks("python") if "JobClient" in block]
    script = tmp_path / "example.py"
    script.write_text(example.replace("redis://127.0.0.1:6379/0", redis_url), "utf-8")

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "queued"


def test_the_celery_example_runs(
    redis_url: str, worker: Callable[..., Worker], crm: HostedSimulator, tmp_path: Path
) -> None:
    """In somebody else's application."""
    worker()
    (example,) = [block for block in blocks("python") if "send_task" in block]
    script = tmp_path / "example.py"
    script.write_text(
        f"from celery import Celery\napp = Celery(broker={redis_url!r}, backend={redis_url!r})\n"
        + example.replace("result.get()", "print(result.get(timeout=30)")
        + ")\n",
        "utf-8",
    )

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == crm.records("acme")[0]["id"]


@pytest.fixture
def dead_job(client: JobClient, worker: Callable[..., Worker]) -> tuple[str, dict[str, str]]:
    """A dead letter, and the environment of an operator."""
    process = worker()
    job = client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=999, lead_id=1))
    eventually(lambda: client.outcome(job).state == State.DEAD)
    return job, process.environ


OPERATING = [
    command for command in commands() if re.match(r"oppsync (status|job|dead|doubt|hold|budget|redis acl)", command)
]


def test_there_are_commands_to_try() -> None:
    """The list below is made from the README; it must not be empty by accident."""
    assert len(OPERATING) >= 10


def test_the_operators_commands_run(dead_job: tuple[str, dict[str, str]], tmp_path: Path, ledger: redis.Redis) -> None:
    """All of them, in their order, on a real dead letter; none is used wrongly."""
    job, environ = dead_job
    ledger.hset("oppsync:hold:acme", "cause", "operator")
    ledger.sadd("oppsync:holds", "acme")
    for command in OPERATING:
        words = shlex.split(command.replace("JOB_ID", job))
        done = subprocess.run(
            [BIN / words[0], *words[1:]], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        # 1 is bad news, such as nothing left to export; 2 would be a command that does not exist.
        assert done.returncode in {0, 1}, (command, done.stderr)
        assert "Traceback" not in done.stderr
    assert not ledger.exists("oppsync:hold:acme")


def test_the_enqueue_commands_run(client: JobClient, worker: Callable[..., Worker], tmp_path: Path) -> None:
    """A file and a single job."""
    process = worker()
    (tmp_path / "deals.csv").write_text("title;crm_column;lead_id\nDeal;130;8473\n", "utf-8")
    for command in commands():
        if command.startswith("oppsync enqueue") and "..." not in command:
            words = shlex.split(command)
            done = subprocess.run(
                [BIN / words[0], *words[1:]],
                env=process.environ,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert client.outcome("nobody").state == State.UNKNOWN


PROVING = [command for command in commands() if command.startswith("oppsync prove")]


@pytest.mark.parametrize("command", PROVING)
def test_the_proving_commands_would_run(command: str) -> None:
    """Each has a plan. The runs themselves take minutes: `test_prove.py` makes a short one."""
    words = [*shlex.split(command), "--plan"]

    done = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    said = {"--flood": "125 processes killed with SIGKILL", "--failover": "2 failovers"}
    assert next((said[word] for word in words if word in said), "worker killed (SIGKILL)") in done.stdout


def test_every_other_command_exists() -> None:
    """Scripts are there and may be run; extras and variables are real."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for command in commands():
        words = shlex.split(command)
        if words[0] == "bash":
            assert os.access(ROOT / words[1], os.X_OK), command
        elif words[:2] == ["pip", "install"]:
            wanted = re.findall(r"\[(\w+)\]", command)
            assert set(wanted) <= set(extras), command
        else:
            assert words[0] in {"oppsync", "export", "docker"}, command


def test_every_setting_in_the_table_is_read() -> None:
    """And every setting that is read stands in the table."""
    readers = (
        "worker/oppsync_worker/settings.py",
        "worker/oppsync_worker/ledger/connect.py",
        "ops/oppsync_ops/redis_server.py",
    )
    source = "".join((ROOT / name).read_text("utf-8") for name in readers)
    named = set(re.findall(r"`((?:REDIS|SPRINTHUB|SENTRY|OPPSYNC)_[A-Z_]+)`", README))

    assert named == set(re.findall(r'"((?:REDIS|SPRINTHUB|SENTRY|OPPSYNC)_[A-Z_]+)"', source))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Relative links only; no path of one machine; to headings that are there."""
    text = document.read_text("utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if target.startswith(("http://", "https://")):
            continue
        found = document.parent / target if target else document
        assert found.exists(), target
        assert not anchor or anchor in headings(found), (target, anchor)


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings, as they are made of their words."""
    lines = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


def test_the_files_it_proves_with_are_there() -> None:
    """Tests and folders that the table of promises names."""
    for path in re.findall(r"`(tests/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
