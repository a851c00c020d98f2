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


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr: stdout belongs to the result."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    with module.progress("sending", 100) as report:
        report(50)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sending" in captured.err
