"""Bounds and words of the files of jobs: what is just read, what is just refused, and what a person is told of it."""

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync.files import BadLine, GoodLine, UnreadableFile, check, read_jobs
from oppsync.files.cells import conversions, text_conversions
from oppsync.files.errors import FileChanged, InvalidDefaults
from oppsync.files.identity import Identity
from oppsync.files.lines import MAX_LINE_BYTES, printable
from oppsync.files.source import Source
from oppsync.files.splitting import split_lines
from oppsync.files.vocabulary import kind_of, required, suggestion
from oppsync_worker.contract.errors import FieldProblem
from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import Kind, Lane

LEAST: dict[str, Any] = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130}
LINE = {"kind": "create", **LEAST}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    return tmp_path_factory.mktemp("figures")


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., list[str]]:
    """What is said of each line of a file; `ok` of a good one."""

    def read(*lines: Any, name: str = "jobs.jsonl", **how: Any) -> list[str]:
        path = tmp_path / name
        texts = (one if isinstance(one, bytes | str) else json.dumps(one) for one in lines)
        path.write_bytes(b"\n".join(one if isinstance(one, bytes) else one.encode() for one in texts))
        return ["ok" if isinstance(line, GoodLine) else str(line) for line in read_jobs(path, **how)]

    return read


# Identity: a key that changed would double every create of a file that is given again.


def key(job: AnyJob, key_from: Any = "every-line") -> str | None:
    """The key that a line with this job is given."""
    return Identity(key_from).given(job).idempotency_key


def made(**given_: Any) -> CreateOpportunity:
    """A create without an id of its own."""
    return CreateOpportunity.parse({**LEAST, **given_})


@pytest.mark.parametrize(
    "travel",
    [
        {"lane": "bulk"},
        {"not_before": "2026-01-01T00:00:00Z"},
        {"deadline": "2026-01-01T00:00:00Z"},
        {"lane": "bulk", "not_before": "2026-01-01T00:00:00Z", "deadline": "2026-01-02T00:00:00Z"},
    ],
)
def test_how_a_line_travels_is_not_in_its_key(travel: dict[str, str]) -> None:
    """The file again, with another deadline, must make no second record."""
    assert key(made(**travel)) == key(made())


@pytest.mark.parametrize(
    "other",
    [
        *({"instance": "b"}, {"funnel_id": 8}, {"title": "x"}, {"crm_column": 1}, {"lead_id": 1}, {"value": "1"}),
        *({"status": "gain"}, {"user": 1}, {"sequence": 1}, {"fields": {"a": 1}}, {"external_ref": "r"}),
        {"expectedCloseDate": "2026-01-01T00:00:00Z"},
    ],
)
def test_whatever_a_line_asks_for_is_in_its_key(other: dict[str, Any]) -> None:
    """Field by field."""
    assert key(made(**other)) != key(made())


def test_keys_are_the_same_for_ever() -> None:
    """Each kind of value in them: texts, numbers, amounts, times, custom fields; and the kind of job."""
    full = {
        **LEAST,
        "value": "1.5",
        "expectedCloseDate": datetime(2026, 1, 2, tzinfo=UTC),
        "fields": {"b": 1, "a": "ç"},
        "sequence": 0,
    }

    assert key(CreateOpportunity.parse(full)) == "file:e539db25cb4d6662ae09bf9fe924e6f1:1"
    assert key(UpdateOpportunity.parse({**full, "opportunity_id": 9})) == "file:e7c32352e6aee5612f7cfd8be045311d:1"


def test_the_same_line_again_is_counted() -> None:
    """Within one pass; each job's own."""
    identity = Identity("line")
    keys = [str(identity.given(made(title=title)).idempotency_key) for title in ("a", "b", "a", "a", "b")]

    assert [one.rpartition(":")[2] for one in keys] == ["1", "1", "2", "3", "2"]
    assert len({one.rpartition(":")[0] for one in keys}) == 2
    assert all(len(one.split(":")[1]) == 32 for one in keys)


@pytest.mark.parametrize(
    ("key_from", "create", "update"), [("line", True, False), ("every-line", True, True), ("none", False, False)]
)
def test_which_lines_get_a_key(key_from: str, create: Any, update: Any) -> None:
    """And none that has one, or an id."""
    changed = UpdateOpportunity.parse({**LEAST, "opportunity_id": 9})

    assert (key(made(), key_from) is not None) is create
    assert (key(changed, key_from) is not None) is update
    assert key(made(idempotency_key="mine"), key_from) == "mine"
    assert key(made(job_id="j"), key_from) is None


# Lines.


@given(
    st.lists(st.sampled_from([b"a", b"b" * 3, b"c" * 5, b"\r", b"\n", b"\r\n", b""]), max_size=12), st.integers(1, 7)
)
def test_lines_are_the_same_however_the_file_is_read(pieces: list[bytes], step: int) -> None:
    """In chunks of any size; one that is longer than the limit, its end counted, is told and not kept."""
    whole = b"".join(pieces)
    chunks = [whole[start : start + step] for start in range(0, len(whole), step)]
    expected = [None if len(line) > 5 else line for line in whole.splitlines(keepends=True)]

    found = list(split_lines(chunks, limit=5))

    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other


@pytest.mark.parametrize(("size", "good"), [(4 * 64 * 1024, True), (4 * 64 * 1024 + 1, False)])
def test_a_line_is_at_most_256_kib(said: Callable[..., list[str]], size: int, good: Any) -> None:
    """Its end counted; the others are read all the same."""
    text = json.dumps(LINE)
    long = text + " " * (size - len(text) - 1)

    found = said(text, long, text)

    assert MAX_LINE_BYTES == 4 * 64 * 1024
    assert found == ["ok", "ok" if good else "line 2: is longer than the 262144 bytes that one line may have", "ok"]


@pytest.mark.parametrize(("count", "more"), [(19, None), (20, None), (21, "and 1 more"), (22, "and 2 more")])
def test_twenty_problems_of_a_line_are_told(count: int, more: str | None) -> None:
    """Each once; of the rest, only how many."""
    problems = [FieldProblem(f"f{number}", "is bad") for number in range(count)]

    line = BadLine.of(3, [*problems, problems[0]])

    assert len(line.problems) == min(count, 20) + (1 if more else 0)
    assert [str(one) for one in line.problems][20:] == ([more] if more else [])
    assert str(BadLine.of(3, problems[:2])) == "line 3: f0: is bad; f1: is bad"
    assert str(BadLine.because(4, "is odd")) == "line 4: is odd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120 + "..."),
        ("a\x1b[0m", "a\\x1b[0m"),
        ("\ud800ç", "\\ud800ç"),
        ("Ação", "Ação"),
    ],
)
def test_a_name_is_shown_so_that_no_terminal_is_upset(text: str, shown: str) -> None:
    """In a bounded length."""
    assert printable(text) == shown


# Cells.

_DAY = "names no time zone: write 21/03/2024 18:27 in Brasilia as 2024-03-21T18:27:00-03:00"


@pytest.mark.parametrize(
    ("names", "text", "value"),
    [
        ("funnel_id opportunity_id crm_column lead_id sequence user", " 159 ", 159),
        ("funnel_id opportunity_id crm_column lead_id sequence user", "-5", -5),
        ("funnel_id opportunity_id crm_column lead_id sequence user", "9" * 18, 10**18 - 1),
        ("funnel_id opportunity_id crm_column lead_id sequence user", "  ", None),
        ("kind instance status job_id lane", " a ", "a"),
        ("kind instance status job_id lane", "  ", None),
        ("title external_ref idempotency_key", " a ", " a "),
        ("title external_ref idempotency_key", "  ", "  "),
        ("title external_ref idempotency_key", "", None),
        ("expectedCloseDate not_before deadline", " 2026-01-01 ", "2026-01-01"),
        ("expectedCloseDate not_before deadline", "  ", None),
        ("expectedCloseDate not_before deadline", "21/03/20245", "21/03/20245"),
        ("value", " 1,50 ", Decimal("1.50")),
        ("value", "  ", None),
    ],
)
def test_a_cell_is_read_by_its_field(names: str, text: str, value: object) -> None:
    """Never by what it looks like."""
    how = conversions("auto")

    for name in names.split():
        assert how[name](text) == value
    assert set(text_conversions("auto")) == {"value", "expectedCloseDate", "not_before", "deadline"}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("user", "159.0", "must be a whole number such as 159"),
        ("user", "9" * 19, "must be a whole number such as 159"),
        ("user", "+5", "must be a whole number such as 159"),
        ("user", "1 2", "must be a whole number such as 159"),
        *(("deadline", text, _DAY) for text in ("21/03/2024", "1.3.24 18:27", "21-03-2024 18:27:00\nx")),
    ],
)
def test_a_cell_that_cannot_be_read_is_told(name: str, text: str, says: str) -> None:
    """With an example."""
    with pytest.raises(ValueError, match=rf"^{says}$"):
        conversions("auto")[name](text)


def test_an_amount_is_at_most_64_characters() -> None:
    """Nobody writes more."""
    read = conversions("auto")["value"]

    assert read("0" * 63 + "1") == 1
    with pytest.raises(ValueError, match=r"^must be an amount such as 1234\.56 or R\$ 1\.234,56$"):
        read("0" * 64 + "1")


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("auto", "must be an amount such as 1234.56 or 1.234,56"),
        ("point", "must be an amount such as 1234.56 (the decimal mark was said to be a point)"),
        ("comma", "must be an amount such as 1.234,56 (the decimal mark was said to be a comma)"),
    ],
)
def test_an_amount_that_is_none_is_told_by_its_mark(mark: Any, says: str) -> None:
    """With an example of that."""
    with pytest.raises(ValueError, match=r".") as error:
        conversions(mark)["value"]("1.2.3,4,5")

    assert str(error.value) == says


# Words.


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("create", Kind.CREATE),
        (" UPDATE ", Kind.UPDATE),
        ("opportunities.create", Kind.CREATE),
        ("opportunities.update", Kind.UPDATE),
        ("delete", None),
        (7, None),
        (None, None),
    ],
)
def test_a_kind_is_its_word_or_its_task(text: object, kind: Kind | None) -> None:
    """In any case."""
    assert kind_of(text) is kind


def test_what_a_job_cannot_do_without() -> None:
    """Of either kind what both need."""
    assert required(Kind.CREATE) == {"instance", "funnel_id", "title", "crm_column"}
    assert required(Kind.UPDATE) == required(None) == {"instance", "funnel_id"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (" Funel_ID ", "did you mean funnel_id?"),
        ("expected_close", "did you mean expectedCloseDate?"),
        ("zzzzzz", "a custom field is written fields.<its exact display name>"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, says: str) -> None:
    """If there is one."""
    assert suggestion(name) == says


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1]", "line 2: must be one JSON object, in braces"),
        ("{", "line 2: column 2: is not JSON (expecting property name enclosed in double quotes)"),
        (json.dumps(LINE) + " {}", f"line 2: column {len(json.dumps(LINE)) + 2}: a second object follows the object"),
        (json.dumps(LINE) + " x", f"line 2: column {len(json.dumps(LINE)) + 2}: something follows the object; write"),
        (b'{"title": "\xe7"}', "line 2: byte 12: is not utf-8 text; save the file as UTF-8"),
        ("[" * 100_000, "line 2: is nested too deeply"),
        ('{"a": ' + "1" * 5_000 + "}", "line 2: holds a number with more digits than anything needs"),
        ("\ufeff{}", "line 2: column 1: a byte order mark in the middle of the file; were two files joined?"),
        ('{"kind": "create", "kind": "create"}', "line 2: kind: is given twice"),
        ({**LINE, "funel_id": 1}, "line 2: funel_id: is not a field of a job; did you mean funnel_id?"),
        ({**LINE, "kind": None}, "line 2: kind: is missing: create or update"),
        ({**LINE, "kind": "x"}, "line 2: kind: must be create or update"),
        (
            {**LINE, "expectedCloseDate": None, "expected_close_date": None},
            "line 2: expectedCloseDate: is given twice, in both spellings",
        ),
        ({**LINE, "value": "x"}, "line 2: value: must be an amount such as 1234.56 or R$ 1.234,56"),
        ({**LINE, "deadline": "1/2/2026"}, f"line 2: deadline: {_DAY}"),
        ({**LINE, "lead_id": "7"}, "line 2: lead_id: must be a valid integer"),
        (
            json.dumps(LINE)[:-1] + ', "fields": {"a": 0.12345678901234567890}}',
            "line 2: fields.a: has more digits than a number can hold: send it as text",
        ),
        (json.dumps(LINE)[:-1] + ', "fields": {"a": 1, "a": 2}}', "line 2: fields.a: is given twice"),
        (json.dumps(LINE)[:-1] + ', "value": 1e9999999999999999999}', "line 2: value: must be a finite number"),
    ],
)
def test_a_line_of_json_that_is_wrong_is_told(said: Callable[..., list[str]], line: Any, says: str) -> None:
    """By where, and the others are read."""
    first, second, third = said(LINE, line, LINE)

    assert (first, third) == ("ok", "ok")
    assert second.startswith(says)


def test_numbers_and_nulls_of_json_are_taken_as_they_are(tmp_path: Path) -> None:
    """No amount passes through binary floating point; a null is not given; lines are of the bulk lane."""
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps({**LINE, "lead_id": None})[:-1] + ', "value": 0.1, "fields": {"a": 0.5, "b": null}}\n\n')

    (line,) = read_jobs(path)

    assert isinstance(line, GoodLine)
    assert line.number == 1
    assert (line.job.value, line.job.fields, line.job.lead_id) == (Decimal("0.10"), {"a": 0.5}, None)
    assert line.job.lane is Lane.BULK


def test_a_null_is_not_given_so_a_default_counts(tmp_path: Path) -> None:
    """As for an empty cell; and of names that are given twice only those are told."""
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps({**LINE, "lead_id": None}) + "\n" + '{"kind": "create", "title": "a", "title": "b"}')

    good, bad = read_jobs(path, defaults={"lead_id": 5})

    assert isinstance(good, GoodLine)
    assert good.job.lead_id == 5
    assert isinstance(bad, BadLine)
    assert [one.field for one in bad.problems if one.message == "is given twice"] == ["title"]


def refusal(path: Path, **how: Any) -> str:
    """What is said of a file that cannot be read at all, without its path."""
    with pytest.raises(UnreadableFile) as error:
        list(read_jobs(path, **how))
    assert error.value.path == path
    text = str(error.value).removeprefix(str(path))
    assert text.endswith(f"{error.value.what}. {error.value.advice}.")
    return text


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", ": holds no lines. Give a file with at least one line of data."),
        ("a.jsonl", b"\n \n", ": holds no lines. Give a file with at least one line of data."),
        ("a.csv", b"kind,instance,funnel_id\n", ": holds no lines. Give a file with at least one line of data."),
        ("a.txt", b"x", ": has a name that does not end in .csv, "),
        ("a.json", b"{}", ": is one JSON document, not JSON lines. Write each object on one line of its own, "),
        ("a.jsonl", b"\n[\n", ", line 2: is one JSON document, not JSON lines. Write each object"),
        ("a.jsonl", b"{\n", ", line 1: is one JSON document, not JSON lines. Write each object"),
        ("a.jsonl", b"[{}]", ", line 1: is one JSON document, not JSON lines. Write each object"),
        ("a.csv", b"PK\x03\x04", ": is an Excel workbook or a zip archive. Save the sheet as 'CSV UTF-8'"),
        ("a.csv", b"\xd0\xcf\x11\xe0", ": is an Excel workbook. Save the sheet as 'CSV UTF-8'"),
        ("a.csv", b"\xff\xfea", ": is UTF-16 text. Save it as UTF-8 (in Excel: 'CSV UTF-8')."),
        ("a.csv", b"\xfe\xffa", ": is UTF-16 text. Save it as UTF-8 (in Excel: 'CSV UTF-8')."),
        ("a.csv", gzip.compress(b"x", mtime=0), ": is compressed, but its name does not say so. Rename it so that"),
        ("a.csv.gz", b"x", ": is not a whole gzip file. Copy or compress it again, and try once more."),
        ("a.csv.gz", gzip.compress(b"x" * 99, mtime=0)[:-5], ": is not a whole gzip file. Copy or compress it again"),
        ("a.csv", b"\n\xe7\n", ", line 2: is not UTF-8 text (byte 1 of the line). Save it as 'CSV UTF-8', or if"),
        ("a.csv", b"a,b\nx", ", line 1: the first line names no column that is known. It must be the header; known"),
        (
            "a.csv",
            b"kind,funel_id,,fields\nx",
            ", line 1: the header holds what is not known: 'funel_id' (did you mean funnel_id?), a column without a ",
        ),
        (
            "a.csv",
            b"kind,z1,z2,z3,z4,z5,z6,z7\nx",
            ", line 1: the header holds what is not known: 'z1' (a custom field is written fields.<its exact display",
        ),
        ("a.csv", b"kind,instance,KIND\nx", ", line 1: names the same column twice: 'kind'. Keep one of each."),
        (
            "a.csv",
            b"fields.A,fields.A,instance\nx",
            ", line 1: names the same column twice: 'fields.A'. Keep one of each.",
        ),
        (
            "a.csv",
            b"instance,funnel_id\nx",
            ", line 1: has no column 'kind', so nobody can tell whether to create or to update. Add the column, with",
        ),
        (
            "a.csv",
            b"kind,title\nx",
            ", line 1: has no column 'funnel_id', 'instance', which every line needs. Add it, or give a default for",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """With the line, if it is one line's fault, and what to do."""
    path = tmp_path / name
    path.write_bytes(content)

    found = refusal(path)

    assert found.startswith(says)
    if b"fields\n" in content:
        said = (
            "name between named ones, 'fields' (write fields.<exact display name>, one column for each custom field)."
        )
        assert said in found
    if b"z7" in content:
        assert "'z5'" in found
        assert "'z6'" not in found
        assert " and 2 more. Known names are " in found


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """A file is read twice."""
    (tmp_path / "d.csv").mkdir()
    assert refusal(tmp_path / "d.csv") == ": is a directory. Give one file in it."
    pipe = Path("/dev/null")
    with pytest.raises(UnreadableFile, match=r"^/dev/null: is not a regular file, and a file is read twice"):
        Source(pipe)


def test_bad_defaults_say_what_they_are_about() -> None:
    """Problem by problem."""
    problems = (FieldProblem("a", "x"), FieldProblem("b", "y"))

    assert str(InvalidDefaults(problems)) == "defaults: a: x; b: y"
    assert InvalidDefaults(problems).problems == problems
    changed = FileChanged(Path("a"), "changed")
    assert str(changed) == ("a: changed. Run the command again once nothing writes to it: good lines are not doubled.")
    assert changed.line is None


# Rows of CSV.

HEAD = "kind,instance,funnel_id,title,crm_column"
ROW = "create,acme,7,T,130"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (ROW, "ok"),
        (ROW + ",", "line 3: has 6 cells, but the header has 5 columns; a text that holds the delimiter must stand"),
        (ROW + ",x", "line 3: has 6 cells, but the header has 5 columns; a text that holds the delimiter must stand"),
        ("create,acme", "line 3: has 2 cells, but the header has 5 columns"),
        ('create,acme,7,"T"x,130', "line 3: text follows a closing quote; a quote inside of a quoted cell must be"),
        ("create,acme,x,T,y", "line 3: funnel_id: must be a whole number such as 159; crm_column: must be a whole"),
        ("create, acme ,7,T,130", "ok"),
        ("create,,7,T,130", "line 3: instance: is missing"),
    ],
)
def test_a_row_that_is_wrong_is_told(said: Callable[..., list[str]], row: str, says: str) -> None:
    """And rows of nothing are no lines."""
    found = said(HEAD, ROW, row, ",,,,", " ", ROW, name="jobs.csv")

    assert (found[0], found[-1], len(found)) == ("ok", "ok", 3)
    assert found[1].startswith(says)


def test_rows_may_end_in_as_many_empty_cells_as_the_header(said: Callable[..., list[str]]) -> None:
    """As spreadsheets write them; what stands in one is a text with a delimiter in it."""
    found = said(HEAD + ",,", ROW, ROW + ",", ROW + ",,", ROW + ",,,", ROW + ",x", name="jobs.csv")

    assert found[:3] == ["ok"] * 3
    assert found[3].startswith("line 5: has 8 cells, but the header has 5 columns; a text")
    assert found[4].startswith("line 6: has 6 cells, but the header has 5 columns; a text")


# Sources.


def test_a_source_tells_its_progress_and_its_fingerprint(tmp_path: Path) -> None:
    """Bytes as they lie on the disk, in pieces of 64 KiB."""
    path = tmp_path / "a.csv"
    content = b"\xef\xbb\xbf" + b"x" * 150_000
    path.write_bytes(content)
    told: list[tuple[int, int]] = []

    with Source(path, progress=lambda *given_: told.append(given_)) as source:
        chunks = list(source.chunks())
        found = source.fingerprint()

    assert b"".join(chunks) == content[3:]
    assert [len(chunk) for chunk in chunks] == [65_536 - 3, 65_536, len(content) - 2 * 65_536]
    assert told[-1] == (len(content), len(content))
    assert [seen for seen, _ in told] == sorted({seen for seen, _ in told})
    assert found.size == len(content)
    assert found.mtime_ns == path.stat().st_mtime_ns
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_twenty_bad_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """Unless another number is said."""
    path = tmp_path / "a.jsonl"
    update = {"kind": "update", "instance": "acme", "funnel_id": 7, "opportunity_id": 1, "title": "x"}
    path.write_text("x\n" * 30 + json.dumps(LINE) + "\n" + json.dumps(update) + "\n" + json.dumps(LINE))

    report = check(path)

    assert (len(report.bad_lines), report.bad, report.good, report.total) == (20, 30, 3, 33)
    assert report.kinds == {Kind.CREATE: 2, Kind.UPDATE: 1}
    assert report.path == path
    assert [line.number for line in report.bad_lines] == list(range(1, 21))
