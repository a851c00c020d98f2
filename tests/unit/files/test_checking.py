"""The pass before the sending, the defaults, and whole files from jobs and back."""

import csv
import io
import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync.files import BadLine, GoodLine, InvalidDefaults, check, read_jobs
from oppsync_worker.contract.fields import MAX_ID
from oppsync_worker.contract.jobs import JOB_TYPES, AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.wire import kwargs_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each writes its file anew."""
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("bad_at", [2, 5_000, 10_001])
def test_one_bad_line_among_ten_thousand_is_found_and_the_rest_is_good(tmp_path: Path, bad_at: int) -> None:
    """Wherever it stands; the second pass says the same as the first."""
    path = tmp_path / "jobs.csv"
    rows = [f"acme;12;Negócio {n};159;{n};R$ 1.000,50" for n in range(2, 10_002)]
    rows[bad_at - 2] = "acme;12;Negócio;159;x;R$ 1.000,50"
    path.write_text("\n".join(["instance;funnel_id;title;crm_column;lead_id;value", *rows]))

    report = check(path, kind=Kind.CREATE)
    again = list(read_jobs(path, kind=Kind.CREATE, expect=report.fingerprint))

    assert (report.total, report.good, report.bad) == (10_000, 9_999, 1)
    assert report.kinds == {Kind.CREATE: 9_999, Kind.UPDATE: 0}
    assert str(report.bad_lines[0]) == f"line {bad_at}: lead_id: must be a whole number such as 159"
    assert [line for line in again if isinstance(line, BadLine)] == list(report.bad_lines)
    assert len({line.job.idempotency_key for line in again if isinstance(line, GoodLine)}) == 9_999


def test_only_the_first_bad_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """A report has a size that does not depend on the file's."""
    path = tmp_path / "jobs.jsonl"
    path.write_text("x\n" * 500)

    report = check(path, keep=3)

    assert [line.number for line in report.bad_lines] == [1, 2, 3]
    assert (report.bad, report.good) == (500, 0)


def test_a_line_s_own_values_come_before_the_defaults(tmp_path: Path) -> None:
    """A default given as text is read as a cell would be; custom fields complete each other."""
    path = tmp_path / "jobs.csv"
    path.write_text("title,funnel_id,fields.A\nx,,mine\ny,13,\n")
    defaults = {"instance": "acme", "funnel_id": " 12 ", "crm_column": 159, "value": "R$ 5,00", "lane": "interactive"}
    defaults |= {"expected_close_date": "2024-03-21T18:27:00-03:00", "fields": {"A": "default", "B": 1}}

    first, second = read_jobs(path, defaults=defaults, kind=Kind.CREATE)

    assert isinstance(first, GoodLine)
    assert isinstance(second, GoodLine)
    assert (first.job.funnel_id, second.job.funnel_id) == (12, 13)
    assert (first.job.fields, second.job.fields) == ({"A": "mine", "B": 1}, {"A": "default", "B": 1})
    assert (str(first.job.value), first.job.lane) == ("5.00", "interactive")


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        ({"funel_id": 1}, "funel_id: is not a field of a job; did you mean funnel_id?"),
        ({"kind": "create"}, "kind: is given by itself"),
        ({"job_id": "x"}, "job_id: must differ from line to line"),
        ({"external_ref": "x"}, "external_ref: must differ from line to line"),
        ({"funnel_id": "x"}, "funnel_id: must be a whole number"),
        ({"funnel_id": 0}, "funnel_id: must be greater than 0"),
        ({"instance": "a b"}, "instance: holds characters that are not allowed"),
        ({"value": "1.234"}, "value: could be thousands or decimals"),
        ({"lane": "fast"}, "lane: must be 'interactive' or 'bulk'"),
        ({"fields": {"a": []}}, "fields.a: must be a text"),
    ],
)
def test_wrong_defaults_are_refused_before_the_file_is_opened(defaults: dict[str, Any], says: str) -> None:
    """Once, and not once for every line."""
    with pytest.raises(InvalidDefaults) as caught:
        check(Path("absent.csv"), defaults=defaults)
    with pytest.raises(InvalidDefaults):
        next(read_jobs(Path("absent.csv"), defaults=defaults))

    assert says in str(caught.value)


def test_large_defaults_count_towards_the_size_of_a_job(tmp_path: Path) -> None:
    """What is checked here is not refused half-way through the sending."""
    path = tmp_path / "jobs.csv"
    path.write_text("title\nx\n")
    defaults = {"instance": "a", "funnel_id": 1, "crm_column": 1, "fields": {"note": "x" * 70_000}}

    report = check(path, defaults=defaults, kind=Kind.CREATE)

    assert "at most 65536 are accepted" in str(report.bad_lines[0])


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
titles = texts.filter(str.strip)
ids = st.integers(1, MAX_ID)
document = {
    "instance": st.from_regex(r"[a-z][a-z0-9_.\-]{0,9}", fullmatch=True),
    "funnel_id": ids,
    "title": titles,
    "crm_column": ids,
}
optional = {
    "value": st.decimals(-(10**9), 10**9, places=2).map(str),
    "lead_id": ids,
    "user": ids,
    "sequence": st.integers(0, 2**31 - 1),
    "status": st.sampled_from(["open", "gain", "lost"]),
    "expectedCloseDate": st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
    "external_ref": titles,
    "idempotency_key": titles,
    "lane": st.sampled_from(["interactive", "bulk"]),
}


def documents(custom: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[AnyJob]:
    """Jobs of both kinds, with custom fields of a kind."""
    job_id = {"job_id": st.uuids().map(str)}
    create = st.fixed_dictionaries(document | job_id, optional=optional | {"fields": custom})
    update = st.fixed_dictionaries(document | job_id | {"opportunity_id": ids}, optional=optional | {"fields": custom})
    return st.one_of(create.map(JOB_TYPES[Kind.CREATE].parse), update.map(JOB_TYPES[Kind.UPDATE].parse))


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=12)
scalars = st.one_of(
    texts, st.booleans(), st.integers(-MAX_ID, MAX_ID), st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    st.lists(documents(st.dictionaries(texts, scalars, max_size=3)), min_size=1, max_size=8),
    st.sampled_from(["escaped", "plain"]),
)
def test_jobs_written_as_json_lines_come_back_equal(folder: Path, jobs: list[AnyJob], form: str) -> None:
    """Whatever they hold, escaped or not."""
    path = folder / "jobs.jsonl"
    dumped = [{"kind": job.kind.value, "job_id": job.job_id, **kwargs_of(job)} for job in jobs]
    for each in dumped:
        del each["v"]
    path.write_text(
        "".join(json.dumps(each, ensure_ascii=form == "escaped") + "\n" for each in dumped), encoding="utf-8"
    )

    found = list(read_jobs(path))

    assert [line.job for line in found if isinstance(line, GoodLine)] == jobs


@given(
    st.lists(documents(st.dictionaries(names, texts, min_size=1, max_size=3)), min_size=1, max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL]),
)
def test_jobs_written_as_csv_come_back_equal(
    folder: Path, jobs: list[AnyJob], delimiter: str, end: str, encoding: str, quoting: Any
) -> None:
    """In every dialect, with cells that hold quotes, delimiters and line ends."""
    path = folder / "jobs.csv"
    flat = [_row(job) for job in jobs]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(flat)
    path.write_bytes(text.getvalue().encode(encoding))

    found = list(read_jobs(path))

    assert [line.job for line in found if isinstance(line, GoodLine)] == jobs


def _row(job: AnyJob) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": job.kind.name.lower(), "job_id": job.job_id, **kwargs_of(job)}
    row |= {f"fields.{name}": value for name, value in row.pop("fields", {}).items()}
    del row["v"]
    return row
