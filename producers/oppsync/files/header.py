"""The first line of a CSV file: which delimiter, and what each column is.

The delimiter is the one of `,` `;` and tab under which the header says most names that are known. Data is never
looked at for it. Our own names may be written in any case; a custom field's name is taken exactly as it stands.
"""

import csv
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oppsync.files.errors import UnreadableFile
from oppsync.files.vocabulary import (
    COLUMNS,
    CUSTOM_PREFIX,
    FIELDS,
    KIND,
    known_names,
    quoted,
    required,
    suggestion,
)
from oppsync_worker.contract.names import Kind

_DELIMITERS: Final = (",", ";", "\t")
_SHOWN: Final = 5
"""How many wrong names one message lists."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a field of a job, or a custom field by its exact display name."""

    name: str
    custom: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What a data row is read by. Rows may be up to `width` cells wide: beyond the columns they must be empty."""

    delimiter: str
    columns: tuple[Column, ...]
    width: int


def read_header(text: str, *, path: Path, line: int, kind: Kind | None, given: Collection[str]) -> Header:
    """The header of a CSV file; `given` are the names for which there is a default.

    Raises:
        UnreadableFile: it is none, or names what is not known, or lacks what every line would need.
    """

    def refuse(what: str, advice: str) -> UnreadableFile:
        return UnreadableFile(path, what, advice=advice, line=line)

    delimiter, cells = max(
        ((each, _cells(text, each)) for each in _DELIMITERS),
        key=lambda read: (sum(_column(cell) is not None for cell in read[1]), len(read[1])),
    )
    width = len(cells)
    while cells and not cells[-1].strip():
        cells.pop()
    found = [_column(cell) for cell in cells]
    if not any(found):
        what = "the first line names no column that is known"
        raise refuse(what, f"It must be the header; known names are {known_names()}")
    unknown = [cell for cell, column in zip(cells, found, strict=True) if column is None]
    if unknown:
        raise refuse(_unknown(unknown), f"Known names are {known_names()}")
    columns = tuple(column for column in found if column)
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        names = ", ".join(quoted(_label(column)) for column in twice[:_SHOWN])
        raise refuse(f"names the same column twice: {names}", "Keep one of each")
    own = {column.name for column in columns if not column.custom}
    if KIND not in own and not kind:
        what = "has no column 'kind', so nobody can tell whether to create or to update"
        raise refuse(what, "Add the column, with create or update in each line, or give --kind create or --kind update")
    lacking = required(None if KIND in own else kind) - own - set(given)
    if lacking:
        names = ", ".join(quoted(name) for name in sorted(lacking))
        raise refuse(f"has no column {names}, which every line needs", "Add it, or give a default for all lines")
    return Header(delimiter, columns, width)


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _column(cell: str) -> Column | None:
    name = COLUMNS.get(cell.strip().lower())
    if name:
        return Column(name, custom=False)
    start = cell.lstrip()
    if start[: len(CUSTOM_PREFIX)].lower() == CUSTOM_PREFIX and len(start) > len(CUSTOM_PREFIX):
        return Column(start[len(CUSTOM_PREFIX) :], custom=True)
    return None


def _label(column: Column) -> str:
    return CUSTOM_PREFIX + column.name if column.custom else column.name


def _unknown(cells: list[str]) -> str:
    said = []
    for cell in cells[:_SHOWN]:
        if not cell.strip():
            said.append("a column without a name between named ones")
        elif cell.strip().lower() in {FIELDS, CUSTOM_PREFIX}:
            said.append(f"{quoted(cell)} (write fields.<exact display name>, one column for each custom field)")
        else:
            said.append(f"{quoted(cell)} ({suggestion(cell)})")
    more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    return f"the header holds what is not known: {', '.join(said)}{more}"
