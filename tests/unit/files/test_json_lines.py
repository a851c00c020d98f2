"""JSON lines: whatever is wrong with a line costs that line only, and is named as far as it can be."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oppsync.files import BadLine, GoodLine, Line, UnreadableFile, json_lines, read_jobs
from oppsync_worker.contract.names import MAX_JOB_BYTES, Kind

Write = Callable[..., Path]
GOOD = '{"kind":"create","instance":"acme","funnel_id":12,"title":"Renewal","crm_column":159'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines to `jobs.jsonl`."""

    def put(*content: str | bytes, name: str = "jobs.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in content))
        return path

    return put


def lines(path: Path, **how: Any) -> list[Line]:
    """Every line of the file."""
    return list(read_jobs(path, **how))


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        (GOOD + "} x", "", "column 87: something follows the object"),
        (GOOD + "}" + GOOD + "}", "", "column 86: a second object follows"),
        (GOOD, "", "column 85: is not JSON (expecting ',' delimiter)"),
        (GOOD + ',"status":"op\ten"}', "", "is not JSON (invalid control character"),
        ("[1]", "", "must be one JSON object"),
        ("null", "", "must be one JSON object"),
        ('"create"', "", "must be one JSON object"),
        ("kind,instance,title", "", "column 1: is not JSON (expecting value)"),
        ("\ufeff" + GOOD + "}", "", "a byte order mark in the middle"),
        ("[" * 100_000 + "]" * 100_000, "", "nested too deeply"),
        ('{"a":' * 40_000 + "1" + "}" * 40_000, "", "nested too deeply"),
        (GOOD + ',"fields":{"a":' + "[" * 500 + "]" * 500 + "}}", "fields.a", "must be a text"),
        (GOOD + ',"value":' + "9" * 5000 + "}", "", "more digits than anything needs"),
        (GOOD + ',"value":NaN}', "value", "finite number"),
        (GOOD + ',"value":-Infinity}', "value", "finite number"),
        (GOOD + ',"value":1e99999999999999999999}', "value", "finite number"),
        (GOOD + ',"value":1e999999}', "value", "digits before the point"),
        (GOOD + ',"value":0.001}', "value", "at most 2 decimal places"),
        (GOOD + ',"value":true}', "value", "must be a decimal number"),
        (GOOD + ',"value":"1.230"}', "value", "--decimal"),
        (GOOD + ',"lead_id":7.0}', "lead_id", "valid integer"),
        (GOOD + ',"lead_id":"7"}', "lead_id", "valid integer"),
        (GOOD + ',"lead_id":NaN}', "lead_id", "integer"),
        (GOOD + ',"title":"again"}', "title", "is given twice"),
        (GOOD + ',"fields":{"A":1,"B":2,"A":3}}', "fields.A", "is given twice"),
        (GOOD + ',"expectedCloseDate":null,"expected_close_date":null}', "expectedCloseDate", "in both spellings"),
        (GOOD + ',"expected_close_date":"21/03/2024"}', "expectedCloseDate", "names no time zone"),
        (GOOD + ',"not_before":5}', "not_before", "ISO 8601"),
        (GOOD + ',"Title":"x"}', "Title", "is not a field of a job; did you mean title?"),
        (GOOD + ',"\\ud800":"x"}', "\\ud800", "is not a field of a job"),
        (GOOD + ',"user":1,"fields":{"\\ud800":"x"}}', "fields", "lone surrogate"),
        (GOOD + ',"fields":{"a":"\\ud800"}}', "fields.a", "lone surrogate"),
        (GOOD + ',"fields":{"a":NaN}}', "fields.a", "finite number"),
        (GOOD + ',"fields":{"a":0.12345678901234567890}}', "fields.a", "send it as text"),
        (GOOD + ',"fields":[]}', "fields", "dictionary"),
        (GOOD.replace('"create"', "{}") + "}", "kind", "must be create or update"),
        (GOOD.replace('"kind":"create",', "") + "}", "kind", "is missing: create or update"),
        (b'{"title":"\xff"}', "", "byte 11: is not utf-8 text; save the file as UTF-8"),
        ("x" * (4 * MAX_JOB_BYTES + 1), "", "is longer than the 262144 bytes"),
        (GOOD + ',"fields":{"a":"' + "é" * (MAX_JOB_BYTES // 2) + '"}}', "", "at most 65536 are accepted"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(write: Write, line: str | bytes, field: str, says: str) -> None:
    """By number, field or column; and it can be printed."""
    first, second = lines(write(GOOD + "}", "", line, GOOD + "}"))[1:]

    assert isinstance(first, BadLine)
    assert isinstance(second, GoodLine)
    assert (first.number, second.number) == (3, 4)
    (problem,) = first.problems
    assert problem.field == field
    assert says in problem.message
    assert str(first).isprintable()


def test_a_value_of_a_bad_line_is_never_repeated(write: Write) -> None:
    """It may hold what belongs in no log."""
    path = write(
        '{"kind":"Maria","instance":"Maria S","title":["Maria"],"user":"Maria","fields":{"a":["Maria"]}}', "Maria"
    )

    found = lines(path)

    assert [type(line) for line in found] == [BadLine, BadLine]
    assert not any("Maria" in str(line) for line in found)


def test_a_line_of_thousands_of_mistakes_lists_a_few(write: Write) -> None:
    """Nobody reads more."""
    path = write(json.dumps({f"unknown {n}": n for n in range(10_000)}))

    (line,) = lines(path)

    assert isinstance(line, BadLine)
    assert len(line.problems) == 21
    assert line.problems[-1].message == "and 9981 more"


def test_no_cent_is_lost_and_a_null_is_not_given(write: Write) -> None:
    """Amounts go from text to decimal; other numbers stay numbers."""
    path = write(
        GOOD + ',"value":9007199254740.93,"lane":null,"job_id":null,"fields":{"a":0.1,"b":null,"c":true,"d":3}}'
    )

    (line,) = lines(path)

    assert isinstance(line, GoodLine)
    assert line.job.value == Decimal("9007199254740.93")
    assert line.job.fields == {"a": 0.1, "c": True, "d": 3}
    assert line.job.lane == "bulk"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_blank_lines_and_a_leading_byte_order_mark_make_no_difference(write: Write, end: bytes) -> None:
    """As in any other text file."""
    path = write(b"\xef\xbb\xbf" + end.join([GOOD.encode() + b"}", b"  ", GOOD.encode() + b"}"]))

    found = lines(path)

    assert [(line.number, type(line)) for line in found] == [(1, GoodLine), (3, GoodLine)]


@pytest.mark.parametrize("content", ["[", "{", "[" + GOOD + "}]", "\n\n[" + GOOD + "},"])
def test_one_json_document_in_place_of_lines_is_one_clear_message(write: Write, content: str) -> None:
    """Instead of one for every line of it."""
    with pytest.raises(UnreadableFile, match="not JSON lines") as caught:
        lines(write(content, GOOD, "]"))

    assert "jq -c '.[]'" in str(caught.value)


def test_a_file_called_json_is_told_about_json_lines(write: Write) -> None:
    """Whatever stands in it."""
    with pytest.raises(UnreadableFile, match="not JSON lines"):
        lines(write(GOOD + "}", name="jobs.json"))


def test_a_line_of_unknown_names_costs_twenty_suggestions(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a search among all names, and a hostile line can hold ten thousand."""
    asked: list[str] = []
    monkeypatch.setattr(json_lines, "suggestion", lambda name: asked.append(name) or f"not {name}")

    (line,) = lines(write(json.dumps({f"x{number}": 1 for number in range(1_000)})), kind=Kind.CREATE)

    assert asked == [f"x{number}" for number in range(20)]
    assert isinstance(line, BadLine)
    assert [problem.message for problem in line.problems[:20]] == [
        f"is not a field of a job; not {name}" for name in asked
    ]
    assert line.problems[20].message.startswith("and ")
