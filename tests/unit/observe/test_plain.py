"""Harmless text of anything."""

import json
from datetime import UTC, datetime

import pytest

from oppsync_worker.observe.plain import MAX_TEXT_CHARS, as_plain, clipped, guarded, one_line, text_of


class Hostile:
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_an_object_that_cannot_be_printed_has_a_stand_in() -> None:
    """Only its class is told."""
    assert text_of(Hostile()) == "<unprintable Hostile>"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("\x1b[2Jgone\x00", r"\x1b[2Jgone\x00"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\u202eevil", r"\u202eevil"),
        ("half \ud800", r"half \ud800"),
        ("não é nada", "não é nada"),
    ],
)
def test_control_characters_are_written_out(text: str, line: str) -> None:
    """Neither a second line, nor a terminal's command, nor something that cannot be encoded."""
    assert one_line(text) == line
    assert len(line.splitlines()) == 1


def test_values_become_strict_json() -> None:
    """NaN, endless nesting, sets, times and strange keys included."""
    endless: dict[object, object] = {1: {2}, "when": datetime(2025, 1, 2, tzinfo=UTC), "nan": float("nan")}
    endless["me"] = endless
    endless["hostile"] = Hostile()

    plain = as_plain(endless, str)

    assert json.loads(json.dumps(plain, allow_nan=False))["1"] == [2]
    assert plain["when"] == "2025-01-02T00:00:00+00:00"
    assert plain["nan"] == "nan"
    assert plain["hostile"] == "<unprintable Hostile>"


def test_texts_are_bounded() -> None:
    """With a sign where something was cut."""
    assert clipped("x" * 5, 5) == "xxxxx"
    assert clipped("x" * 6, 5) == "xxxx…"
    assert len(as_plain(["x" * 10_000], str)[0]) == MAX_TEXT_CHARS


def test_a_text_that_cannot_be_redacted_is_withheld() -> None:
    """We err toward silence."""

    def broken(text: str) -> str:
        raise RuntimeError(text)

    assert "secret" not in guarded(broken)("secret")
