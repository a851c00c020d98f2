"""Long work away from a terminal."""

import pytest

from oppsync_ops.cli import progress as module


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each step."""
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)

    with module.progress("sending", 100) as report:
        for done in range(1, 13):
            now = float(done)
            report(done)

    assert capsys.readouterr().err.splitlines() == ["oppsync: sending: 5 of 100", "oppsync: sending: 10 of 100"]


def test_work_that_grows_is_told_of_the_new_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more done than there is; the last whole that was told stands."""
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)

    with module.progress("settled", 100) as report:
        for done, total in ((90, 100), (110, 120), (115, None)):
            now += 5
            report(done, total)

    assert [line.partition("settled: ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "90 of 100",
        "110 of 120",
        "115 of 120",
    ]


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr: stdout belongs to the result."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    with module.progress("sending", 100) as report:
        report(50)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sending" in captured.err
