"""CSV: every way in which a file or a line of it can be wrong, and what is tolerated."""

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oppsync.files import BadLine, GoodLine, Line, UnreadableFile, read_jobs
from oppsync.files.csv_lines import CsvText
from oppsync.files.lines import MAX_LINE_BYTES
from oppsync_worker.contract.names import Kind, Lane

Write = Callable[[bytes], Path]
HEADER = "kind,instance,funnel_id,title,crm_column,value,expectedCloseDate"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes bytes to `jobs.csv`."""

    def put(content: bytes) -> Path:
        path = tmp_path / "jobs.csv"
        path.write_bytes(content)
        return path

    return put


def lines(path: Path, **how: Any) -> list[Line]:
    """Every line of the file."""
    return list(read_jobs(path, **how))


def refused(path: Path, **how: Any) -> str:
    """What the file as a whole is refused for."""
    with pytest.raises(UnreadableFile) as caught:
        lines(path, **how)
    return str(caught.value)


def rows(*data: str, header: str = HEADER, end: str = "\n") -> bytes:
    """A CSV file."""
    return end.join([header, *data, ""]).encode()


def only_problem(line: Line) -> tuple[str, str]:
    """Field and message of a bad line's only problem."""
    assert isinstance(line, BadLine)
    (problem,) = line.problems
    return problem.field, problem.message


GOOD = "create,acme,12,Renewal,159,,"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(write: Write, end: str, bom: bytes) -> None:
    """Windows, Unix and old Mac files, as Excel and others write them."""
    path = write(bom + rows(GOOD, "", GOOD, end=end))

    found = lines(path)

    assert [line.number for line in found] == [2, 4]
    assert all(isinstance(line, GoodLine) and line.job.title == "Renewal" for line in found)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_read_off_the_header(write: Write, delimiter: str) -> None:
    """The data is full of other delimiters."""
    header = HEADER.replace(",", delimiter)
    data = delimiter.join(["create", "acme", "12", '"a;b,c\td"', "159", '"1.234,56"', ""])
    path = write(rows(data, header=header))

    (line,) = lines(path)

    assert isinstance(line, GoodLine)
    assert (line.job.title, line.job.value) == ("a;b,c\td", Decimal("1234.56"))


def test_a_job_of_a_file_travels_in_bulk_and_says_what_the_line_says(write: Write) -> None:
    """Types come from the field; empty cells are not given; outer spaces of numbers do not count."""
    header = "KIND, Instance ,funnel_id,Title,crm_column,lead_id,status,expected_close_date,lane"
    data = ["create,acme, 12 , two words ,159,,gain,2024-03-21T18:27:00-03:00,", "create,acme,12,x,159,7,,,interactive"]
    path = write(rows(*data, header=header))

    first, second = lines(path)

    assert isinstance(first, GoodLine)
    assert isinstance(second, GoodLine)
    assert first.job.document()["expected_close_date"].isoformat() == "2024-03-21T21:27:00+00:00"
    assert (first.job.funnel_id, first.job.title, first.job.lead_id, first.job.status) == (
        12,
        " two words ",
        None,
        "gain",
    )
    assert (first.job.lane, second.job.lane, second.job.status) == (Lane.BULK, Lane.INTERACTIVE, "open")


def test_custom_fields_keep_their_exact_names_and_values(write: Write) -> None:
    """Case, accents, and spaces inside and around the name all count for the CRM."""
    header = HEADER + ',fields. CPF ,Fields.Condição de PAGAMENTO,"fields.a,b"'
    path = write(rows(f"{GOOD}, 012 ,,x", header=header))

    (line,) = lines(path)

    assert isinstance(line, GoodLine)
    assert line.job.fields == {" CPF ": " 012 ", "a,b": "x"}


def test_a_record_is_numbered_by_the_line_on_which_it_begins(write: Write) -> None:
    """Quoted cells may hold line ends, which also stay in the value."""
    path = write(rows('create,acme,12,"one\r\ntwo\nthree",159,,', "create,acme,x,Renewal,159,,", GOOD))

    first, second, third = lines(path)

    assert isinstance(first, GoodLine)
    assert first.job.title == "one\r\ntwo\nthree"
    assert (first.number, second.number, third.number) == (2, 5, 6)
    assert only_problem(second) == ("funnel_id", "must be a whole number such as 159")


def test_trailing_empty_columns_and_rows_without_values_are_tolerated(write: Write) -> None:
    """Spreadsheets leave them behind."""
    path = write(rows(f"{GOOD},,", GOOD, ",,,,,,,,", "   ", header=f"{HEADER},,"))

    found = lines(path)

    assert [type(line) for line in found] == [GoodLine, GoodLine]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("create,acme,12", "has 3 cells, but the header has 7 columns"),
        (f"{GOOD},1", "must stand in quotes"),
        ('create,acme,12,"a"b,159,,', "must be doubled"),
        ('create,acme,12,"never closed,159,,', "(lines 2 to 3 were read as one)"),
        ("create,acme,12," + "x" * 300_000 + ",159,,", "is longer than the 262144 bytes"),
        ('create,acme,12,"' + "x\n" * 140_000, "is never closed"),
    ],
)
def test_a_record_that_cannot_be_taken_apart_is_one_bad_line(write: Write, row: str, says: str) -> None:
    """Reading goes on after it, where the quotes allow that."""
    path = write(rows(row, GOOD))

    first, *_ = lines(path)

    field, message = only_problem(first)
    assert (first.number, field) == (2, "")
    assert says in message


def test_only_a_row_with_too_many_cells_is_told_of_quotes(write: Write) -> None:
    """Where some are missing, no delimiter stood in a text."""
    short, long = lines(write(rows("create,acme,12", f"{GOOD},1")))

    assert only_problem(short) == ("", "has 3 cells, but the header has 7 columns")
    assert only_problem(long) == (
        "",
        "has 8 cells, but the header has 7 columns; a text that holds the delimiter must stand in quotes",
    )


def test_reading_goes_on_after_a_line_that_is_too_long(write: Write) -> None:
    """The next line has its own right number."""
    path = write(rows("x" * 1_000_000, GOOD, 'create,acme,12,"a"b,159,,', GOOD))

    found = lines(path)

    assert [(line.number, type(line)) for line in found] == [(2, BadLine), (3, GoodLine), (4, BadLine), (5, GoodLine)]


@pytest.mark.parametrize(
    ("cell", "field", "says"),
    [
        ("create,acme,159.0,x,1,,", "funnel_id", "whole number"),
        ("create,acme,1.590,x,1,,", "funnel_id", "whole number"),
        ("create,acme,0,x,1,,", "funnel_id", "greater than 0"),
        ("create,acme," + "9" * 5000 + ",x,1,,", "funnel_id", "whole number"),
        ("create,acme,,x,1,,", "funnel_id", "is missing"),
        ("create,a b,1,x,1,,", "instance", "not allowed"),
        ("create,acme,1,x,1,ten,", "value", "must be an amount"),
        ("create,acme,1,x,1,1.234,", "value", "--decimal comma or --decimal point"),
        ("create,acme,1,x,1,0.001,", "value", "at most 2 decimal places"),
        ("create,acme,1,x,1,,21/03/2024 18:27", "expectedCloseDate", "2024-03-21T18:27:00-03:00"),
        ("create,acme,1,x,1,,2024-03-21T18:27:00", "expectedCloseDate", "time zone"),
        ("create,acme,1,x,1,,soon", "expectedCloseDate", "ISO 8601"),
        ("create,acme,1,  ,1,,", "title", "must not be empty"),
        ("make,acme,1,x,1,,", "kind", "must be create or update"),
        (",acme,1,x,1,,", "kind", "is missing"),
        ("update,acme,1,x,1,,", "", "opportunity_id or external_ref"),
    ],
)
def test_a_wrong_cell_is_named(write: Write, cell: str, field: str, says: str) -> None:
    """By line, field and what to do about it; the value itself is not repeated."""
    path = write(rows(cell))

    (line,) = lines(path)

    found, message = only_problem(line)
    assert found == field
    assert says in message


def test_every_problem_of_a_line_is_listed_once(write: Write) -> None:
    """What cannot be converted is not missing as well; what the contract refuses stands beside it."""
    path = write(rows("create,a b,x,,1,1.234,"))

    (line,) = lines(path)

    assert isinstance(line, BadLine)
    assert sorted(problem.field for problem in line.problems) == ["funnel_id", "instance", "title", "value"]


def test_text_that_is_not_utf8_names_line_and_byte_and_the_way_out(write: Write) -> None:
    """Windows-1252 is read when asked for, and never guessed."""
    path = write(rows(GOOD, GOOD.replace("Renewal", "Renovação")).decode().encode("cp1252"))

    said = refused(path)
    _, line = lines(path, encoding="cp1252")

    assert "line 3: is not UTF-8 text (byte 22 of the line)" in said
    assert "--encoding cp1252" in said
    assert isinstance(line, GoodLine)
    assert line.job.title == "Renovação"


def test_damage_in_a_file_that_is_plainly_utf8_costs_one_line(write: Write) -> None:
    """Reading all of it as Windows-1252 would spoil the rest."""
    path = write(rows(GOOD.replace("Renewal", "Renovação")) + GOOD.encode() + b"\xff\n" + rows(header=GOOD))

    first, second, third = lines(path)

    assert isinstance(first, GoodLine)
    assert only_problem(second) == ("", "holds bytes that are not utf-8 text (byte 29 of line 3)")
    assert isinstance(third, GoodLine)


def test_bytes_that_windows_1252_does_not_have_are_a_bad_line(write: Write) -> None:
    """Five of its places are empty."""
    path = write(rows(GOOD) + b"create,acme,12,\x81,159,,\n")

    _, line = lines(path, encoding="cp1252")

    assert only_problem(line) == ("", "holds bytes that are not cp1252 text (byte 16 of line 3)")


def test_kind_may_be_said_once_for_all_lines_and_a_line_still_has_the_last_word(write: Write) -> None:
    """Task names are understood as well."""
    header = "kind,instance,funnel_id,opportunity_id,title,crm_column"
    data = (",acme,1,,x,1", "opportunities.update,acme,1,5,x,", "Update,acme,1,5,x,")
    path = write(rows(*data, header=header))

    found = lines(path, kind=Kind.CREATE)

    assert [line.job.kind for line in found if isinstance(line, GoodLine)] == [Kind.CREATE, Kind.UPDATE, Kind.UPDATE]


def test_a_field_of_the_other_kind_is_refused(write: Write) -> None:
    """A create has no opportunity yet."""
    path = write(rows("acme,1,5,x,1", header="instance,funnel_id,opportunity_id,title,crm_column"))

    (line,) = lines(path, kind=Kind.CREATE)

    assert only_problem(line) == ("opportunity_id", "is not a field of this job")


def test_a_record_is_as_long_as_its_lines_and_no_longer_than_the_longest_line() -> None:
    """To the byte; each is measured by itself."""
    half = b"x" * (MAX_LINE_BYTES // 2 - 1) + b"\n"
    text = CsvText(iter([half, half, b"y\n", half, half, b"z"]), path=Path("a.csv"), encoding="utf-8")

    for number in (0, 3):
        assert text.begin() == number + 1
        assert [len(next(text)), len(next(text))] == [len(half)] * 2
        assert text.size == MAX_LINE_BYTES
        assert text.damage is None
        with pytest.raises(csv.Error, match="is never closed"):
            next(text)
        assert text.damage is not None
