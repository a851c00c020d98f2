"""How Celery is called."""

import os
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from oppsync_ops.cli import worker as module
from oppsync_ops.cli.root import oppsync

QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What Celery would have been called with."""
    found: list[list[str]] = []

    def record(args: Sequence[str]) -> None:
        found.append(list(args))

    monkeypatch.setattr(module, "celery_main", record)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SPRINTHUB_INSTANCE", "acme")
    monkeypatch.setenv("SPRINTHUB_API_TOKEN", "s3cret-token")
    # Set by the command; so that they are put back after the test.
    for variable in ("OPPSYNC_CONCURRENCY", "OPPSYNC_LOG", "OPPSYNC_LOG_LEVEL"):
        monkeypatch.setenv(variable, "")
    return found


def test_without_options_the_settings_decide(calls: list[list[str]]) -> None:
    """Only what this system always needs is said."""
    result = CliRunner().invoke(oppsync, ["worker"])

    assert result.exit_code == 0, result.output
    assert calls == [["--app", "oppsync_worker.app", "worker", "--loglevel", "INFO", *QUIET]]


def test_options_become_flags_and_settings(calls: list[list[str]]) -> None:
    """Both must agree, for both are read."""
    args = [
        "--concurrency",
        "7",
        "--queues",
        "bulk, interactive",
        "--name",
        "w1@%h",
        "--log",
        "json",
        "--level",
        "debug",
    ]
    result = CliRunner().invoke(oppsync, ["worker", *args])

    assert result.exit_code == 0, result.output
    assert calls[0][3:5] == ["--loglevel", "DEBUG"]
    assert calls[0][8:] == [
        *("--concurrency", "7"),
        *("--queues", "opportunities.bulk,opportunities.interactive"),
        *("--hostname", "w1@%h"),
    ]
    assert (os.environ["OPPSYNC_CONCURRENCY"], os.environ["OPPSYNC_LOG"]) == ("7", "json")


@pytest.mark.parametrize("queues", ["", "fast", "bulk,fast"])
def test_an_unknown_lane_is_a_wrong_use(calls: list[list[str]], queues: str) -> None:
    """The lanes there are, are named."""
    result = CliRunner().invoke(oppsync, ["worker", "--queues", queues])

    assert result.exit_code == 2
    assert "interactive, bulk" in result.stderr
    assert calls == []


def test_wrong_settings_never_reach_celery(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the token part of what is said about them."""
    monkeypatch.delenv("SPRINTHUB_INSTANCE")

    result = CliRunner().invoke(oppsync, ["worker"])

    assert result.exit_code == 2
    assert "SPRINTHUB_INSTANCE" in result.stderr
    assert "s3cret" not in result.output
    assert calls == []
