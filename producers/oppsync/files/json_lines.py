"""JSON lines into drafts: one object a line, with the job's fields and `kind`.

Amounts never pass through binary floating point. Whatever is wrong with a line costs that line only: line ends are
line ends here, whatever stands between them.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from oppsync.files.amounts import DecimalMark
from oppsync.files.cells import Conversion, text_conversions
from oppsync.files.csv_lines import Encoding
from oppsync.files.errors import UnreadableFile
from oppsync.files.lines import MAX_LINE_BYTES, MAX_PROBLEMS, BadLine, Draft
from oppsync.files.vocabulary import CUSTOM_PREFIX, FIELDS, NAMES, suggestion
from oppsync_worker.contract.errors import FieldProblem

_TO_JSON_LINES: Final = (
    "Write each object on one line of its own, for example with: jq -c '.[]' array.json > jobs.jsonl"
)


class _Twice(dict[str, Any]):
    """An object in which names occur twice; an ordinary dict would have dropped all but the last."""

    names: tuple[str, ...]


def json_drafts(
    lines: Iterator[bytes | None], *, path: Path, encoding: Encoding, mark: DecimalMark
) -> Iterator[Draft | BadLine]:
    """Each line that holds anything."""
    how = text_conversions(mark)
    first = True
    for number, data in enumerate(lines, 1):
        if data is None:
            yield BadLine.because(number, f"is longer than the {MAX_LINE_BYTES} bytes that one line may have")
        elif data.strip():
            if first:
                _refuse_a_document(data.strip(), path, number)
            yield _draft(number, data, encoding, how)
        else:
            continue
        first = False


def array_file(path: Path) -> UnreadableFile:
    """What is said to a file that is, or by its name should be, one JSON document."""
    return UnreadableFile(path, "is one JSON document, not JSON lines", advice=_TO_JSON_LINES)


def _refuse_a_document(line: bytes, path: Path, number: int) -> None:
    # One message instead of one for each line of an indented document.
    if line in {b"[", b"{"} or line.startswith(b"[{"):
        error = array_file(path)
        raise UnreadableFile(path, error.what, advice=error.advice, line=number)


def _draft(number: int, data: bytes, encoding: Encoding, how: Mapping[str, Conversion]) -> Draft | BadLine:
    try:
        text = data.decode(encoding).rstrip()
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1}: is not {encoding} text"
        return BadLine.because(number, message + ("; save the file as UTF-8" if encoding == "utf-8" else ""))
    try:
        value = json.loads(text, parse_float=_decimal, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        return BadLine.because(number, _words(error))
    except RecursionError:
        return BadLine.because(number, "is nested too deeply")
    except ValueError:
        return BadLine.because(number, "holds a number with more digits than anything needs")
    if not isinstance(value, dict):
        return BadLine.because(number, "must be one JSON object, in braces")
    return _from_object(number, len(data), value, how)


def _from_object(number: int, size: int, document: dict[str, Any], how: Mapping[str, Conversion]) -> Draft:
    values: dict[str, Any] = {}
    problems = _repeated(document, "")
    for key, given in document.items():
        name = NAMES.get(key)
        if name is None:
            # A line of a thousand unknown names needs no thousand suggestions.
            hint = suggestion(key) if len(problems) < MAX_PROBLEMS else ""
            problems.append(FieldProblem(key, f"is not a field of a job; {hint}"))
            continue
        if name in values:
            problems.append(FieldProblem(name, "is given twice, in both spellings"))
        values[name] = given
        if name in how and isinstance(given, str):
            try:
                values[name] = how[name](given)
            except ValueError as error:
                del values[name]
                problems.append(FieldProblem(name, str(error)))
    fields = values.get(FIELDS)
    if isinstance(fields, dict):
        problems += _repeated(fields, CUSTOM_PREFIX)
        values[FIELDS] = {name: _plain(name, item, problems) for name, item in fields.items() if item is not None}
    # A null says what an empty cell says: not given.
    return Draft(number, size, {name: given for name, given in values.items() if given is not None}, problems)


def _plain(name: str, item: object, problems: list[FieldProblem]) -> object:
    if not isinstance(item, Decimal):
        return item
    number = float(item)
    if Decimal(repr(number)) != item:
        problems.append(FieldProblem(CUSTOM_PREFIX + name, "has more digits than a number can hold: send it as text"))
        return None
    return number


def _repeated(document: dict[str, Any], prefix: str) -> list[FieldProblem]:
    names = document.names if isinstance(document, _Twice) else ()
    return [FieldProblem(prefix + name, "is given twice") for name in names]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    twice = _Twice(plain)
    twice.names = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return twice


def _decimal(text: str) -> Decimal | float:
    try:
        return Decimal(text)
    except ArithmeticError:
        # An exponent that not even Decimal has; the contract wants finite numbers, and names the field.
        return math.inf


def _words(error: json.JSONDecodeError) -> str:
    column = f"column {error.pos + 1}: "
    if error.msg == "Extra data":
        rest = error.doc[error.pos :].lstrip()
        more = "a second object" if rest.startswith("{") else "something"
        return f"{column}{more} follows the object; write one object a line"
    if "BOM" in error.msg:
        return f"{column}a byte order mark in the middle of the file; were two files joined?"
    return f"{column}is not JSON ({error.msg[:1].lower()}{error.msg[1:]})"
