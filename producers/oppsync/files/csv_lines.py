"""CSV into drafts, one for each record, by the number of the physical line on which it begins.

A cell that cannot be converted costs its line; a record that cannot be taken apart costs the lines it spans, because
only the quotes say where a record ends. Lines without any value are skipped. Bytes that are not UTF-8 in a file that
was plainly UTF-8 until then are damage to one line; before that they mean another encoding, which is refused whole.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from oppsync.files.amounts import DecimalMark
from oppsync.files.cells import Conversion, conversions, exact
from oppsync.files.errors import UnreadableFile
from oppsync.files.header import Header
from oppsync.files.lines import MAX_LINE_BYTES, BadLine, Draft
from oppsync.files.vocabulary import CUSTOM_PREFIX, FIELDS
from oppsync_worker.contract.errors import FieldProblem

Encoding = Literal["utf-8", "cp1252"]

_TOO_LONG: Final = f"is longer than the {MAX_LINE_BYTES} bytes that one line may have"
_UNCLOSED: Final = "a quote that opens here is never closed, or closed too late"
_LOOSE_QUOTE: Final = "text follows a closing quote; a quote inside of a quoted cell must be doubled"


class CsvText:
    """The lines of a CSV file as `csv.reader` asks for them: as many as one record spans.

    A class and not a generator, because a generator that has raised is finished, and reading goes on after an error.
    """

    def __init__(self, lines: Iterator[bytes | None], *, path: Path, encoding: Encoding) -> None:
        self._lines = lines
        self._path = path
        self._encoding = encoding
        self._proved = encoding != "utf-8"
        self.number = 0
        self.size = 0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        data = next(self._lines)
        self.number += 1
        if data is None:
            self.damage = _TOO_LONG
            return "\n"
        self.size += len(data)
        if self.size > MAX_LINE_BYTES:
            self.damage = _UNCLOSED
            raise csv.Error(self.damage)
        try:
            text = data.decode(self._encoding)
        except UnicodeDecodeError as error:
            return self._undecodable(data, error.start + 1)
        if not self._proved and not data.isascii():
            self._proved = True
        return text

    def begin(self) -> int:
        """Begin a new record; the number of its first line."""
        self.size = 0
        self.damage = None
        return self.number + 1

    def first(self) -> str:
        """The first line that holds anything, which is the header; `""` when there is none."""
        self.begin()
        text = next((text for text in self if self.damage or text.strip()), "")
        if self.damage:
            raise UnreadableFile(
                self._path, f"the header {self.damage}", advice="Give a file with a header", line=self.number
            )
        return text

    def _undecodable(self, data: bytes, byte: int) -> str:
        if not self._proved:
            what = f"is not UTF-8 text (byte {byte} of the line)"
            advice = "Save it as 'CSV UTF-8', or if it is Windows-1252 text say so with --encoding cp1252"
            raise UnreadableFile(self._path, what, advice=advice, line=self.number)
        self.damage = f"holds bytes that are not {self._encoding} text (byte {byte} of line {self.number})"
        return data.decode(self._encoding, errors="replace")


def csv_drafts(text: CsvText, header: Header, mark: DecimalMark) -> Iterator[Draft | BadLine]:
    """Each record after the header."""
    row_drafts = _Rows(header, mark)
    records = csv.reader(text, delimiter=header.delimiter, strict=True)
    while True:
        first = text.begin()
        try:
            row = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine.because(first, _span(text.damage or _words(error), first, text.number))
            continue
        if text.damage:
            yield BadLine.because(first, _span(text.damage, first, text.number))
        elif any(row) and (len(row) > 1 or row[0].strip()):
            yield row_drafts.draft(first, text.size, row)


class _Plan(NamedTuple):
    """What is done with one column's cells."""

    name: str
    custom: bool
    label: str
    read: Conversion


class _Rows:
    """Rows into drafts, by a header."""

    def __init__(self, header: Header, mark: DecimalMark) -> None:
        how = conversions(mark)
        self._width = header.width
        self._plans = [
            _Plan(column.name, True, CUSTOM_PREFIX + column.name, exact)
            if column.custom
            else _Plan(column.name, False, column.name, how[column.name])
            for column in header.columns
        ]

    def draft(self, number: int, size: int, row: list[str]) -> Draft | BadLine:
        wanted = len(self._plans)
        if not wanted <= len(row) <= self._width or any(row[wanted:]):
            message = f"has {len(row)} cells, but the header has {wanted} columns"
            if len(row) > wanted:
                message += "; a text that holds the delimiter must stand in quotes"
            return BadLine.because(number, message)
        values: dict[str, Any] = {}
        fields: dict[str, str] = {}
        problems = []
        for plan, cell in zip(self._plans, row, strict=False):
            if not cell:
                continue
            try:
                value = plan.read(cell)
            except ValueError as error:
                problems.append(FieldProblem(plan.label, str(error)))
                continue
            if plan.custom:
                fields[plan.name] = value
            elif value is not None:
                values[plan.name] = value
        if fields:
            values[FIELDS] = fields
        return Draft(number, size, values, problems)


def _words(error: csv.Error) -> str:
    said = str(error)
    if "expected after" in said:
        return _LOOSE_QUOTE
    if "unexpected end" in said or "field limit" in said:
        return _UNCLOSED
    return f"is not CSV: {said}"


def _span(message: str, first: int, last: int) -> str:
    return message if first == last else f"{message} (lines {first} to {last} were read as one)"
