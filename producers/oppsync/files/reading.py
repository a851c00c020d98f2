"""One pass over a file: which form it has, and line after line what becomes of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from oppsync.files.amounts import DecimalMark
from oppsync.files.assembly import Assembly, read_defaults
from oppsync.files.csv_lines import CsvText, Encoding, csv_drafts
from oppsync.files.errors import UnreadableFile
from oppsync.files.header import read_header
from oppsync.files.identity import Identity, KeyFrom
from oppsync.files.json_lines import array_file, json_drafts
from oppsync.files.lines import MAX_LINE_BYTES, BadLine, Draft, Line
from oppsync.files.source import Fingerprint, Progress, Source
from oppsync.files.splitting import split_lines
from oppsync_worker.contract.names import Kind

_FORMS: Final[Mapping[str, Literal["csv", "json"]]] = MappingProxyType(
    {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json"}
)
NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})
"""An empty mapping that nobody can fill by mistake."""


def read_jobs(
    path: Path,
    *,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
    decimal: DecimalMark = "auto",
    kind: Kind | None = None,
    encoding: Encoding = "utf-8",
    key_from: KeyFrom = "line",
    expect: Fingerprint | None = None,
    progress: Progress | None = None,
) -> Iterator[Line]:
    """Each line of the file as a job or as what is wrong with it, in the file's order and in constant memory.

    Args:
        path: `.csv`, `.tsv`, `.jsonl` or `.ndjson`, each also with `.gz` after it.
        defaults: values for all lines that do not give their own; a text is read as a CSV cell would be, `fields`
            is a mapping whose entries are completed by those of a line.
        decimal: which mark stands before the cents; `auto` refuses what could be read both ways.
        kind: what a line does that does not say so itself.
        encoding: Windows-1252 is never guessed.
        key_from: which lines get an idempotency key derived from what they say (see `identity`).
        expect: the fingerprint of an earlier pass, which this file must have.
        progress: called with the bytes read so far and the size of the file.

    Raises:
        InvalidDefaults: before the file is opened, at the first line asked for like everything else.
        UnreadableFile: it cannot be read as jobs at all.
        FileChanged: it is not the file expected, or changed meanwhile. Size and time are compared before the first
            job and all along, the digest of the content after the last.
    """
    one_pass = Pass(path, defaults=defaults, decimal=decimal, kind=kind, encoding=encoding, key_from=key_from)
    with Source(path, expect=expect, progress=progress) as source:
        yield from one_pass.lines(source)
        source.fingerprint()


class Pass:
    """How a file is to be read, with the defaults understood and nothing opened yet."""

    def __init__(
        self,
        path: Path,
        *,
        defaults: Mapping[str, Any],
        decimal: DecimalMark,
        kind: Kind | None,
        encoding: Encoding,
        key_from: KeyFrom,
    ) -> None:
        self._path = path
        self._decimal: DecimalMark = decimal
        self._kind = kind
        self._encoding: Encoding = encoding
        self._defaults = read_defaults(defaults, decimal)
        self._assembly = Assembly(self._defaults, kind=kind, identity=Identity(key_from))

    def lines(self, source: Source) -> Iterator[Line]:
        """Every line that holds anything; a file without any is refused."""
        empty = True
        for draft in self._drafts(split_lines(source.chunks(), limit=MAX_LINE_BYTES)):
            empty = False
            yield draft if isinstance(draft, BadLine) else self._assembly.line(draft)
        if empty:
            raise UnreadableFile(self._path, "holds no lines", advice="Give a file with at least one line of data")

    def _drafts(self, lines: Iterator[bytes | None]) -> Iterator[Draft | BadLine]:
        path, encoding, mark = self._path, self._encoding, self._decimal
        match _form(path):
            case "json":
                yield from json_drafts(lines, path=path, encoding=encoding, mark=mark)
            case "csv":
                text = CsvText(lines, path=path, encoding=encoding)
                first = text.first()
                if first:
                    header = read_header(first, path=path, line=text.number, kind=self._kind, given=self._defaults)
                    yield from csv_drafts(text, header, mark)


def _form(path: Path) -> Literal["csv", "json"]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = next((each for each in reversed(suffixes) if each != ".gz"), "")
    if suffix == ".json":
        raise array_file(path)
    form = _FORMS.get(suffix)
    if form is None:
        what = f"has a name that does not end in {', '.join(_FORMS)}, or one of these and .gz"
        raise UnreadableFile(path, what, advice="Rename it after what it holds")
    return form
