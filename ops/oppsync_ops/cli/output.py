"""What a person sees, and the same as JSON for a program.

Columns are aligned and never cut. On a terminal that is too narrow the last one, which holds words, is folded, or goes
below its row; in a pipe every row is one line. Every text goes through `safe`: a dead letter must not be able to move
somebody's cursor.
"""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

Row = Mapping[str, Any]

GAP: Final = "  "
LEAST_ROOM: Final = 24
"""Characters that words need to be readable in a column."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and its cell's value in a row."""

    heading: str
    value: Callable[[Row], object]
    right: bool = False

    @classmethod
    def of(cls, name: str, heading: str | None = None, *, right: bool = False) -> "Column":
        """The column of the row's entry `name`."""
        return cls(heading or name.replace("_", " "), lambda row: row.get(name), right)


def safe(text: str) -> str:
    """The text with everything escaped that is not a visible letter or a plain space."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def said(value: object) -> str:
    """A value in one cell."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(said(item) for item in value) or "-"
    return safe(str(value))


def note(line: str) -> None:
    """A line beside the output: on stderr, for a person."""
    click.echo(f"oppsync: {safe(line)}", err=True)


def print_json(document: object) -> None:
    """One JSON document; ASCII only, so that no terminal and no pipe can trip over it."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_lines(lines: Sequence[str]) -> None:
    """Lines of text."""
    for line in lines:
        click.echo(safe(line))


def print_table(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """A table for a person."""
    cells = [[said(column.value(row)) for column in columns] for row in rows]
    headings = [column.heading.upper() for column in columns]
    widths = [max(len(line[index]) for line in [headings, *cells]) for index in range(len(columns))]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - len(GAP) * (len(columns) - 1)
    fold = sys.stdout.isatty() and widths[-1] > room
    for line in [headings, *cells]:
        padded = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ]
        if not fold:
            click.echo(GAP.join(padded).rstrip())
        elif room >= LEAST_ROOM:
            _print_folded(GAP.join(padded[:-1]) + GAP, line[-1], room)
        else:
            click.echo(GAP.join(padded[:-1]).rstrip())
            if line is not headings and line[-1] != "-":
                _print_folded(" " * 4, line[-1], shutil.get_terminal_size().columns - 4)


def _print_folded(before: str, text: str, room: int) -> None:
    for part in textwrap.wrap(text, max(room, LEAST_ROOM)) or [""]:
        click.echo((before + part).rstrip())
        before = " " * len(before)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values below one another; what is not known is left out."""
    # The name of a variable is read as it is written.
    told = {name if name.isupper() else name.replace("_", " "): value for name, value in facts.items()}
    known = {name: value for name, value in told.items() if value not in (None, "", [], ())}
    width = max((len(name) for name in known), default=0)
    for name, value in known.items():
        click.echo(f"{name.ljust(width)}  {said(value)}")
