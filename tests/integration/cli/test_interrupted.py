"""Ctrl-C and SIGTERM in the middle of what changes much, or writes a file: it is said how far it came."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from integration.cli.lives import Command, Lives, answer
from integration.cli.test_doubt import undecided
from oppsync_ops.cli import dead_export, doubt_acting
from oppsync_ops.letters import acting

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def later(after: int, does: Callable[[], object], real: Callable[..., Any]) -> Callable[..., Any]:
    """As `real`, but that something happens before it is called once more than so many times."""
    left = iter(range(after))

    def instead(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            does()
        return real(*args, **kwargs)

    return instead


def told(number: signal.Signals) -> Callable[[], object]:
    """This very process is told to stop."""
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("verb", "done"), [("replay", "replayed"), ("discard", "discarded")])
def test_dead_letters_that_were_acted_on_are_counted(
    command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch, verb: str, done: str, number: signal.Signals
) -> None:
    """One batch was done, of the second nobody knows; to do it again is safe, and does the rest."""
    for _ in range(acting.BATCH + 5):
        lives.dead()
    with monkeypatch.context() as patch:
        patch.setattr(acting, "run_many", later(1, told(number), acting.run_many))
        stopped = command("dead", verb, "--all", "--yes")
    again = command("dead", verb, "--all", "--yes")

    assert stopped.exit_code == 130
    assert stopped.stdout == f"{acting.BATCH} {done}\n"
    assert "stopped; up to 100 more may have been done. To run the same command again is safe" in stopped.stderr
    assert (again.exit_code, again.stdout) == (0, f"5 {done}\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_doubts_that_were_decided_are_counted(
    command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """What was sent again may not be believed to wait still."""
    for _ in range(3):
        undecided(lives)
    with monkeypatch.context() as patch:
        patch.setattr(doubt_acting, "run", later(2, told(number), doubt_acting.run))
        stopped = command("doubt", "resend", "--all", "--yes")
    again = command("doubt", "resend", "--all", "--yes", "--json")

    assert stopped.exit_code == 130
    assert stopped.stdout == "2 were sent again\n"
    assert "stopped after 2 of 3; one more may have been done. To run the same again is safe" in stopped.stderr
    assert (again.exit_code, answer(again)) == (0, {"done": 1, "refused": {}})


def test_doubts_that_were_decided_before_redis_went_away_are_counted(
    command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for dead letters."""
    for _ in range(3):
        undecided(lives)

    def away() -> None:
        raise RedisConnectionError

    monkeypatch.setattr(doubt_acting, "run", later(1, away, doubt_acting.run))
    stopped = command("doubt", "discard", "--all", "--yes")

    assert stopped.exit_code == 1
    assert stopped.stdout == "1 were discarded\n"
    assert "stopped after 1 of 3" in stopped.stderr
    assert "Redis is not answering" in stopped.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_an_export_that_was_begun_leaves_no_file(
    command: Command, lives: Lives, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    """It may hold whole messages, and nobody would look for it."""
    lives.dead()

    def ends(*_: object, **__: object) -> Any:
        yield "{}"
        told(number)()
        yield "{}"

    monkeypatch.setattr(dead_export, "exported", ends)
    stopped = command("dead", "export", "--raw", "--output", tmp_path / "letters.jsonl")

    assert stopped.exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_file_of_jobs_that_was_begun_is_told_of(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    """With what to do next."""
    path = tmp_path / "jobs.csv"
    path.write_text("instance,funnel_id,title,crm_column\n" + "acme,7,Deal,130\n" * 3, "utf-8")
    monkeypatch.setattr("oppsync.JobClient.hand_over", lambda *_: told(number)())

    stopped = command("enqueue", "file", path, "--kind", "create")

    assert stopped.exit_code == 130
    assert "stopped after 0 of 3 jobs were handed over; to run the same command again is safe" in stopped.stderr
