"""What reaches a terminal or a pipe."""

import json

import pytest

from oppsync_ops.cli.output import Column, print_facts, print_json, print_table, safe, said

COLUMNS = (Column.of("name"), Column.of("jobs", right=True))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Casa de João", "Casa de João"),
        ("\x1b[2J", r"\x1b[2J"),
        ("two\nlines", r"two\nlines"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
    ],
)
def test_nothing_invisible_reaches_the_terminal(text: str, shown: str) -> None:
    """Letters as they are, everything else by its number."""
    assert safe(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), ("", "-"), (0, "0"), (True, "yes"), (False, "no"), (["a", 1], "a, 1"), ([], "-")]
)
def test_a_cell_is_never_empty(value: object, shown: str) -> None:
    """So that columns can be told apart by spaces."""
    assert said(value) == shown


def test_a_table_in_a_pipe_is_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """However long a cell is."""
    print_table([{"name": "x" * 300, "jobs": 7}, {"name": "y", "jobs": 1234}], COLUMNS)

    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "JOBS"]
    assert first == "x" * 300 + "     7"
    assert second.endswith("  1234")


def test_a_terminal_folds_the_words_of_the_last_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below themselves while there is room, else below their row; ids stay whole."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    row = {"name": "n" * 36, "words": "the column 130 of this funnel is unknown"}

    monkeypatch.setenv("COLUMNS", "70")
    print_table([row], (Column.of("name"), Column.of("words")))
    beside = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", "50")
    print_table([row, {"name": "m"}], (Column.of("name"), Column.of("words")))
    below = capsys.readouterr().out.splitlines()

    assert beside[1:] == ["n" * 36 + "  the column 130 of this funnel is", " " * 38 + "unknown"]
    assert below == ["NAME", "n" * 36, "    the column 130 of this funnel is unknown", "m"]


def test_facts_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """But not a zero."""
    print_facts({"job": "x", "external_ref": None, "attempts": 0})

    assert capsys.readouterr().out == "job       x\nattempts  0\n"


def test_json_is_plain_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """No terminal and no pipe trips over it."""
    print_json({"title": "João \x9b31m"})

    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"title": "João \x9b31m"}
