"""One line and an exit code for each error."""

import click
import pytest
from redis.exceptions import OutOfMemoryError

from oppsync.files import InvalidDefaults
from oppsync.receipts import WaitTimeout
from oppsync_ops.cli.failures import report
from oppsync_ops.letters.acting import Counts, PartlyDone
from oppsync_ops.redis_server import NoRedisServer
from oppsync_worker.contract.errors import FieldProblem, InvalidJob, NotAJob
from oppsync_worker.ledger.connect import LedgerUnavailable, NoRedisUrl
from oppsync_worker.settings import SettingsError

PROBLEMS = (FieldProblem("title", "is missing"), FieldProblem("value", "must be a number"))


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (click.UsageError("no such option"), 2, ["no such option"]),
        (click.ClickException("needs a module"), 1, ["needs a module"]),
        (SettingsError("A: is wrong", "B: is missing"), 2, ["A: is wrong", "B: is missing"]),
        (InvalidJob(PROBLEMS), 2, ["title: is missing", "value: must be a number"]),
        (InvalidDefaults(PROBLEMS[:1]), 2, ["title: is missing"]),
        (NotAJob("no message"), 2, ["no message"]),
        (NoRedisUrl("set REDIS_URL"), 2, ["set REDIS_URL"]),
        (LedgerUnavailable("away"), 1, ["away"]),
        (NoRedisServer("no program"), 1, ["no program"]),
        (WaitTimeout("job x is queued"), 1, ["job x is queued"]),
        (
            OutOfMemoryError("OOM"),
            1,
            ["Redis is out of memory and refuses writes: raise maxmemory or drain the queues"],
        ),
        (BrokenPipeError(), 1, []),
        (
            UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
            2,
            ["an argument holds bytes that are no UTF-8 text"],
        ),
        (click.exceptions.Abort(), 130, []),
        (OSError(28, "No space left on device"), 1, ["No space left on device"]),
        (OSError(13, "Permission denied", "file"), 1, ["Permission denied: file"]),
        (
            KeyError("title of a person"),
            1,
            ["an error of this software (KeyError): OPPSYNC_DEBUG=1 shows where"],
        ),
    ],
)
def test_every_error_has_words_and_a_code(
    error: Exception, code: int, lines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All on stderr, each line with the command's name before it."""
    monkeypatch.delenv("OPPSYNC_DEBUG", raising=False)

    found = report(error)

    captured = capsys.readouterr()
    assert found == code
    assert captured.out == ""
    assert captured.err.splitlines() == [f"oppsync: {line}" for line in lines]


def test_a_traceback_only_when_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """0 means no, as anywhere."""
    monkeypatch.setenv("OPPSYNC_DEBUG", "0")
    report(KeyError("x"))
    quiet = capsys.readouterr().err
    monkeypatch.setenv("OPPSYNC_DEBUG", "1")
    report(KeyError("x"))
    loud = capsys.readouterr().err

    assert "KeyError: 'x'" not in quiet
    assert "KeyError: 'x'" in loud


def test_what_was_done_before_a_failure_is_part_of_its_words() -> None:
    """So that nobody has to count."""
    assert "7 were done before" in str(PartlyDone(Counts(done=7), OutOfMemoryError("OOM")))
