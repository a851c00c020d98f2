"""`oppsync` run against the session's Redis."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from integration.cli.lives import Command, Lives
from oppsync_ops.cli.root import oppsync as root

VARIABLES = (
    "SPRINTHUB_INSTANCE",
    "SPRINTHUB_API_TOKEN",
    "SPRINTHUB_INSTANCES_FILE",
    "SPRINTHUB_BASE_URL",
    "OPPSYNC_OUTCOME_DAYS",
    "OPPSYNC_DEBUG",
)


@pytest.fixture
def bare_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs `oppsync` in an empty directory, with nothing set in the environment."""
    for variable in ("REDIS_URL", *VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    def invoke(*args: object, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(root, [str(arg) for arg in args], input=stdin, prog_name="oppsync")

    return invoke


@pytest.fixture
def command(bare_command: Command, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `oppsync` with an empty Redis."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    return bare_command


@pytest.fixture
def lives(ledger: Redis, redis_url: str) -> Lives:
    """Jobs in every state."""
    return Lives(ledger, redis_url)
