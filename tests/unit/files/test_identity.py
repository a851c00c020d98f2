"""Keys derived from what a line says: the same file twice is the same jobs."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from oppsync.files import GoodLine, read_jobs

CREATE: dict[str, Any] = {"kind": "create", "instance": "acme", "funnel_id": 12, "title": "Renewal", "crm_column": 159}
UPDATE: dict[str, Any] = {"kind": "update", "instance": "acme", "funnel_id": 12, "opportunity_id": 4534, "value": 10}


def keys(path: Path, *documents: dict[str, Any] | str, **how: Any) -> list[str | None]:
    """The keys of the good lines of a file."""
    path = path / "jobs.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in documents))
    return [line.job.idempotency_key for line in read_jobs(path, **how) if isinstance(line, GoodLine)]


def test_a_shipped_key_is_the_same_for_ever(tmp_path: Path) -> None:
    """Another text under the digest would double every file that was ever given. Add samples; never edit them."""
    full = CREATE | {
        "title": '"Ação"\t\x7f\u2028',
        "value": 1234.5,
        "user": 7,
        "expectedCloseDate": "2024-03-21T18:27:00-03:00",
        "external_ref": "r",
    }

    found = keys(tmp_path, CREATE, full | {"fields": {"Ação": "é", "B": 1, "A": True, "c": 0.5}})

    assert found == ["file:a93031d0b134b5811493d19e745d5118:1", "file:9e8d8af896fd5fdef4c401cc61f716b2:1"]


def test_two_lines_identical_on_purpose_stay_two_jobs(tmp_path: Path) -> None:
    """And the same two when the file is given again."""
    first = keys(tmp_path, CREATE, CREATE | {"title": "Other"}, CREATE)

    assert len(set(first)) == 3
    assert keys(tmp_path, CREATE, CREATE | {"title": "Other"}, CREATE) == first


def test_mended_lines_and_another_order_leave_the_other_keys_alone(tmp_path: Path) -> None:
    """A corrected file sends only what is new in it."""
    documents = [CREATE | {"lead_id": 1 + n % 50} for n in range(200)]
    before = keys(tmp_path, *documents[:100], "broken", *documents[100:])
    mended = [*documents, CREATE | {"lead_id": 999}]
    random.Random(1).shuffle(mended)

    after = keys(tmp_path, *mended)

    assert len(set(after)) == 201
    assert set(before) < set(after)


def test_the_way_of_writing_does_not_matter_and_the_meaning_does(tmp_path: Path) -> None:
    """Order of names, spelling of amounts and times, and defaults."""
    said = CREATE | {"value": 10, "expectedCloseDate": "2024-03-21T21:27:00Z", "fields": {"a": "1", "b": "2"}}
    same = dict(reversed(said.items())) | {"fields": {"b": "2", "a": "1"}}
    same |= {"value": "10,00", "expectedCloseDate": "2024-03-21T18:27:00-03:00", "status": "open"}

    first, second, *others = keys(
        tmp_path, said, same, said | {"value": 11}, said | {"fields": {"a": 1, "b": "2"}}, said | {"instance": "b"}
    )

    assert first
    assert second
    assert first[:-1] == second[:-1]
    assert len({first, second, *others}) == 5


@pytest.mark.parametrize(
    "travel",
    [
        {"lane": "interactive"},
        {"lane": "bulk"},
        {"not_before": "2024-01-01T00:00:00Z"},
        {"deadline": "2100-01-01T00:00:00Z"},
    ],
)
def test_how_a_job_travels_is_not_what_it_says(tmp_path: Path, travel: dict[str, str]) -> None:
    """A second try in a hurry must not make a second record."""
    assert keys(tmp_path, CREATE | travel) == keys(tmp_path, CREATE)


def test_a_caller_s_own_key_or_id_is_left_alone(tmp_path: Path) -> None:
    """An `external_ref` is a record's name and no job's: such a create gets a key as well."""
    found = keys(
        tmp_path, CREATE | {"idempotency_key": "mine"}, CREATE | {"job_id": "j1"}, CREATE | {"external_ref": "r"}
    )

    assert found[:2] == ["mine", None]
    assert str(found[2]).startswith("file:")


def test_an_update_gets_a_key_only_when_asked(tmp_path: Path) -> None:
    """A value that goes back to what it was in an earlier file must arrive."""
    assert keys(tmp_path, UPDATE, CREATE, key_from="none") == [None, None]
    assert [key is None for key in keys(tmp_path, UPDATE, CREATE)] == [True, False]
    assert [key is None for key in keys(tmp_path, UPDATE, CREATE, key_from="every-line")] == [False, False]
