"""Cells, names, lines and defaults by themselves: what is read of a text, and what a person is told."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oppsync.files import InvalidDefaults
from oppsync.files.assembly import Assembly, read_defaults
from oppsync.files.cells import conversions, exact, moment, text_conversions, whole, word
from oppsync.files.errors import FileChanged, UnreadableFile
from oppsync.files.identity import Identity
from oppsync.files.lines import MAX_LINE_BYTES, BadLine, Draft, GoodLine, printable
from oppsync.files.splitting import split_lines
from oppsync.files.vocabulary import COLUMNS, NAMES, kind_of, known_names, quoted, required, suggestion
from oppsync_worker.contract.errors import FieldProblem
from oppsync_worker.contract.names import Kind, Lane

VALUES = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130}


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (whole, " 159 ", 159),
        (whole, "-5", -5),
        (whole, "9" * 18, int("9" * 18)),
        (whole, "  ", None),
        (moment, " 2024-03-21T18:27:00Z ", "2024-03-21T18:27:00Z"),
        (moment, " ", None),
        (word, " acme ", "acme"),
        (word, "  ", None),
        (exact, " a ", " a "),
        (exact, " ", " "),
        (exact, "", None),
    ],
)
def test_a_cell_is_read_by_its_field(read: Callable[[str], Any], text: str, value: object) -> None:
    """Spaces count only where they may mean something."""
    assert read(text) == value


@pytest.mark.parametrize("text", ["159.0", "9" * 19, "1 5", "x", "--5", "\u0661"])
def test_anything_else_is_no_whole_number(text: str) -> None:
    """A column of 159.0 was spoilt by a spreadsheet."""
    with pytest.raises(ValueError, match="must be a whole number such as 159"):
        whole(text)


@pytest.mark.parametrize("text", ["21/03/2024 18:27", "1.3.24", " 01-12-2024\n18:00"])
def test_a_day_before_its_month_is_answered_with_the_way_to_write_it(text: str) -> None:
    """It names no time zone either."""
    with pytest.raises(ValueError, match=r"write 21/03/2024 18:27 in Brasilia as 2024-03-21T18:27:00-03:00"):
        moment(text)


def test_every_field_has_its_reading() -> None:
    """In JSON, only amounts and times are written as text."""
    how = conversions("comma")
    whole_numbers = {"funnel_id", "opportunity_id", "crm_column", "lead_id", "sequence", "user"}
    moments = {"expectedCloseDate", "not_before", "deadline"}

    assert set(how) == set(COLUMNS.values())
    assert {name for name in how if how[name] is whole} == whole_numbers
    assert {name for name in how if how[name] is moment} == moments
    assert {name for name in how if how[name] is word} == {"kind", "instance", "status", "job_id", "lane"}
    assert {name for name in how if how[name] is exact} == {"title", "external_ref", "idempotency_key"}
    assert how["value"]("1,5") == text_conversions("comma")["value"]("1,5") == Decimal("1.5")
    assert set(text_conversions("auto")) == moments | {"value"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("create", Kind.CREATE),
        (" UPDATE ", Kind.UPDATE),
        ("opportunities.create", Kind.CREATE),
        ("delete", None),
        ("", None),
        (5, None),
    ],
)
def test_a_kind_is_named_shortly_or_as_its_task(text: object, kind: Kind | None) -> None:
    """In any case."""
    assert kind_of(text) is kind


def test_what_a_job_cannot_do_without() -> None:
    """Of either kind, when it is not known which."""
    assert required(Kind.CREATE) == {"instance", "funnel_id", "title", "crm_column"}
    assert required(Kind.UPDATE) == required(None) == {"instance", "funnel_id"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tittle", "did you mean title?"),
        (" FUNNEL ", "did you mean funnel_id?"),
        ("expected_close", "did you mean expectedCloseDate?"),
        ("zzzz", "a custom field is written fields.<its exact display name>"),
        ("x" * 40 + "title", "a custom field is written fields.<its exact display name>"),
    ],
)
def test_an_unknown_name_is_answered_with_what_was_probably_meant(name: str, hint: str) -> None:
    """Or with how a custom field is written."""
    assert suggestion(name) == hint


def test_a_name_without_end_is_compared_by_its_beginning() -> None:
    """Comparing takes the square of its length."""
    assert suggestion("expected_close_date" + "x" * 1_000) == "did you mean expectedCloseDate?"


def test_custom_fields_that_are_none_are_told_of_and_not_mixed_with_the_defaults() -> None:
    """The contract says what is wrong with them."""
    assembly = Assembly({"fields": {"Origin": "web"}}, kind=Kind.CREATE, identity=Identity("none"))

    line = assembly.line(Draft(3, 100, {**VALUES, "fields": ["a", "b"]}))

    assert isinstance(line, BadLine)
    assert [problem.field for problem in line.problems] == ["fields"]


def test_names_are_known_in_both_spellings() -> None:
    """And listed in one."""
    assert NAMES["expected_close_date"] == NAMES["expectedCloseDate"] == COLUMNS["expectedclosedate"]
    assert NAMES["kind"] == "kind"
    assert "fields" not in COLUMNS
    names = known_names().split(", ")
    assert len(set(names)) == len(names)
    assert set(names) == {*COLUMNS.values(), "fields.<custom field>"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc", "abc"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120 + "..."),
        ("a\x1b", "a\\x1b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_name_is_shown_in_bounds_and_without_harm(text: str, shown: str) -> None:
    """A terminal obeys what is written to it."""
    assert printable(text) == shown
    assert quoted(text) == f"'{shown}'"


@pytest.mark.parametrize(("count", "more"), [(20, []), (21, ["and 1 more"]), (30, ["and 10 more"])])
def test_a_bad_line_tells_twenty_problems(count: int, more: list[str]) -> None:
    """Each once; of more, how many."""
    problems = [FieldProblem(f"f{number}", "is wrong") for number in range(count)]

    line = BadLine.of(9, [*problems, *problems])

    assert str(line) == "line 9: " + "; ".join([*(f"f{number}: is wrong" for number in range(20)), *more])
    assert str(BadLine.because(3, "is bad")) == "line 3: is bad"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_however_they_were_read(size: int) -> None:
    """A line end may lie across two pieces; a line that is too long is not kept."""
    data = b"ab\ncd\r\ne\r\rfffff\ngggg\nhhhhhhhhh\r\nii"
    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    lines = list(split_lines(chunks, limit=5))

    assert lines == [b"ab\n", b"cd\r\n", b"e\r", b"\r", None, b"gggg\n", None, b"ii"]
    assert list(split_lines([b"x" * 6], limit=5)) == [None]
    assert list(split_lines([b"x" * 5], limit=5)) == [b"x" * 5]
    assert list(split_lines([], limit=5)) == []
    assert MAX_LINE_BYTES == 262_144


def test_a_file_s_error_names_the_place_and_the_way_out() -> None:
    """The line, where there is one."""
    error = UnreadableFile(Path("a.csv"), "is bad", advice="Mend it", line=3)

    assert str(error) == "a.csv, line 3: is bad. Mend it."
    assert (error.path, error.what, error.advice, error.line) == (Path("a.csv"), "is bad", "Mend it", 3)
    assert str(UnreadableFile(Path("a\udcff.csv"), "is bad", advice="Mend it")) == "a\\udcff.csv: is bad. Mend it."
    changed = FileChanged(Path("a.csv"), "changed")
    assert changed.advice == "Run the command again once nothing writes to it: good lines are not doubled"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "create"}, "kind: is given by itself, with --kind"),
        ({"colour": "red"}, "colour: is not a field of a job; a custom field is written"),
        ({"job_id": "j1"}, "job_id: must differ from line to line"),
        ({"idempotency_key": "k"}, "idempotency_key: must differ from line to line"),
        ({"external_ref": "k"}, "external_ref: must differ from line to line"),
        ({"funnel_id": "x"}, "funnel_id: must be a whole number such as 159"),
        ({"funnel_id": 0}, "funnel_id: must be greater than 0"),
        ({"fields": {"a": []}}, "fields.a: must be a text, a finite number or a boolean"),
    ],
)
def test_wrong_defaults_are_told_by_name(given: dict[str, Any], says: str) -> None:
    """And nothing else: what is missing may stand in the lines."""
    with pytest.raises(InvalidDefaults) as refused:
        read_defaults(given, "auto")

    assert str(refused.value).startswith("defaults: " + says)
    assert len(refused.value.problems) == 1


def test_defaults_are_read_as_cells_and_completed_by_the_line() -> None:
    """An empty one is not given; a line's own lane and fields come first."""
    defaults = read_defaults({"funnel_id": " 7 ", "value": "1,5", "lane": " ", "fields": {"A": "x", "B": "y"}}, "comma")
    assert defaults == {"funnel_id": 7, "value": Decimal("1.5"), "fields": {"A": "x", "B": "y"}}
    assembly = Assembly(defaults, kind=Kind.CREATE, identity=Identity("none"))

    line = assembly.line(Draft(4, 100, {**VALUES, "funnel_id": 8, "fields": {"B": "z"}}))

    assert isinstance(line, GoodLine)
    assert (line.number, line.job.funnel_id, line.job.value) == (4, 8, Decimal("1.50"))
    assert (line.job.fields, line.job.lane) == ({"A": "x", "B": "z"}, Lane.BULK)


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (VALUES, None, "line 4: kind: is missing: create or update"),
        ({**VALUES, "kind": "x"}, Kind.CREATE, "line 4: kind: must be create or update"),
        ({**VALUES, "title": ""}, Kind.CREATE, "line 4: title: must not be empty"),
    ],
)
def test_a_line_that_is_no_job_says_why(values: dict[str, Any], kind: Kind | None, says: str) -> None:
    """A line's own kind counts before the one for all."""
    assembly = Assembly({}, kind=kind, identity=Identity("none"))

    assert str(assembly.line(Draft(4, 100, values))) == says


def test_problems_of_form_and_of_meaning_are_told_together() -> None:
    """A field whose text could not be read is not missing as well."""
    assembly = Assembly({}, kind=Kind.CREATE, identity=Identity("none"))
    form = [FieldProblem("funnel_id", "must be a whole number such as 159")]
    values = {name: value for name, value in VALUES.items() if name not in ("funnel_id", "title")}

    assert str(assembly.line(Draft(4, 100, values, form))) == (
        "line 4: funnel_id: must be a whole number such as 159; title: is missing"
    )
    assert str(assembly.line(Draft(4, 100, {**values, "title": "T", "funnel_id": 7}, form))).endswith("such as 159")


def test_a_line_s_kind_decides() -> None:
    """An update in a file of creates."""
    assembly = Assembly({}, kind=Kind.CREATE, identity=Identity("line"))
    update = {"instance": "acme", "funnel_id": 7, "opportunity_id": 5, "title": "T", "kind": "update"}

    first, second = assembly.line(Draft(1, 10, update)), assembly.line(Draft(2, 10, VALUES))

    assert isinstance(first, GoodLine)
    assert isinstance(second, GoodLine)
    assert (first.job.kind, first.job.idempotency_key) == (Kind.UPDATE, None)
    assert second.job.kind is Kind.CREATE
    assert str(second.job.idempotency_key).startswith("file:")


def test_a_job_of_a_line_is_measured_before_it_is_sent() -> None:
    """One that is too large costs its line, and no batch."""
    assembly = Assembly({}, kind=Kind.CREATE, identity=Identity("none"))
    fields = {f"F{number}": "x" * 1_000 for number in range(70)}

    line = assembly.line(Draft(4, 70_000, {**VALUES, "fields": fields}))

    assert "at most 65536 are accepted" in str(line)
