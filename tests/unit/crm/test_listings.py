"""A list is understood as a whole, or not at all."""

# ruff: noqa: D103 - the test tools here speak through their names

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.crm.answers import Unreadable
from oppsync_worker.crm.body import MAX_ANSWER_BYTES, NOT_JSON, read_json
from oppsync_worker.crm.listings import MAX_ROWS, PAGE_ROWS, Listing, read_listing
from oppsync_worker.crm.lookups import MAX_LIST_BYTES
from oppsync_worker.crm.sightings import Sought

SOUGHT = Sought("Maria Silva", Decimal("1.00"), 156, 130, 8473, "m-1", "oppsync")
ROWS = [{"id": 2, "fields": {"oppsync": "m-1"}}, {"id": 1, "fields": {"oppsync": ""}}]


def read(document: Any, *, page: int | None = None) -> Listing:
    return read_listing(document, sought=SOUGHT, page=page)


def ids(listing: Listing) -> list[int]:
    return [row.opportunity_id for row in listing.rows]


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"data": ROWS},
        {"opportunities": ROWS},
        {"data": ROWS, "msg": "ok", "totalPages": 1, "error": None},
        {"opportunities": ROWS, "data": None},
    ],
)
@pytest.mark.parametrize("page", [None, 0])
def test_a_bare_array_or_an_envelope_is_a_list(document: Any, page: int | None) -> None:
    """In the answer's order; the caller's figure for the clocks is taken over."""
    listing = read_listing(document, sought=SOUGHT, page=page, crm_ahead_s=-1.5)

    assert ids(listing) == [2, 1]
    assert [str(row.marker) for row in listing.rows] == ["ours", "empty"]
    assert (listing.whole, listing.crm_ahead_s) == (True, -1.5)


@pytest.mark.parametrize(
    "document",
    [
        NOT_JSON,
        None,
        True,
        0,
        "[]",
        {},
        {"id": 1},
        {"rows": ROWS},
        {"data": {"opportunities": ROWS}},
        {"data": None},
        {"data": ROWS, "opportunities": []},
        {"data": [], "error": "temporarily unavailable"},
        {"error": "Invalid request"},
    ],
)
def test_anything_else_proves_nothing(document: Any) -> None:
    """Least of all that there are no records."""
    with pytest.raises(Unreadable):
        read(document)


@pytest.mark.parametrize("bad", [None, [], "1", 7, {}, {"id": None}, {"id": 0}, {"id": "x"}, {"id": True}])
def test_one_row_that_cannot_be_read_spoils_the_list(bad: Any) -> None:
    """It could be ours."""
    for rows in ([*ROWS, bad], [bad, *ROWS], {"data": [bad]}):
        with pytest.raises(Unreadable, match="a row without an id"):
            read(rows)


def test_a_record_that_stands_twice_is_listed_once() -> None:
    """Lists repeat records; a number and its digits are one id."""
    assert ids(read([{"id": 5}, {"id": 6}, {"id": "5"}, {"id": 6}])) == [5, 6]


def test_a_full_page_may_not_be_the_last() -> None:
    """Full as it came: records that stand twice have taken room all the same."""
    full = [{"id": 1 + number // 2} for number in range(PAGE_ROWS)]

    listing = read(full, page=3)

    assert len(listing.rows) == PAGE_ROWS // 2
    assert not listing.whole
    assert read(full[1:], page=3).whole
    assert read([], page=3).whole


def test_a_list_by_lead_is_whole_whatever_its_length() -> None:
    """It has no pages."""
    assert read([{"id": 1 + number} for number in range(PAGE_ROWS * 3)]).whole


def test_an_envelope_that_announces_further_pages_is_believed() -> None:
    """A page may be shorter than was asked for; of a list by lead further pages cannot be asked for."""
    assert not read({"data": ROWS, "totalPages": 2}, page=0).whole
    assert read({"data": ROWS, "totalPages": 2}, page=1).whole
    with pytest.raises(Unreadable, match="further pages"):
        read({"data": ROWS, "totalPages": 2})


def test_too_long_a_list_proves_nothing() -> None:
    """Reading it would hold up everything else."""
    rows = [{"id": 1}] * MAX_ROWS

    assert ids(read(rows)) == [1]
    with pytest.raises(Unreadable, match="too long"):
        read([*rows, {"id": 1}])


PLANTED = ("Maria Silva", "maria@example.com", "+55 11 98765-4321", "187.34.47.12", "senha 123", "12/03/1980")
NAMES = (
    "title",
    "value",
    "user",
    "crm_column",
    "lead_id",
    "createDate",
    "status",
    "fields",
    "dataLead",
    "oppsync",
    "name",
)

leaves = st.sampled_from(PLANTED) | st.none() | st.booleans() | st.integers(-5, 2**60) | st.floats(allow_nan=False)
rows = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.builds(
            lambda row, number: {**row, "id": number},
            st.dictionaries(st.sampled_from(NAMES), inner, max_size=8),
            st.integers(0, 50) | st.just("7") | inner,
        )
    ),
    max_leaves=25,
)
documents = (
    rows | st.lists(rows, max_size=5) | st.builds(dict, data=rows, msg=leaves) | st.builds(dict, opportunities=rows)
)


@given(documents, st.none() | st.integers(0, 3))
def test_whatever_arrives_is_a_listing_without_customers_texts_or_unreadable(document: Any, page: int | None) -> None:
    """Through the text of the answer, as it would come."""
    arrived = read_json(json.dumps(document).encode())

    try:
        told = repr(read(arrived, page=page))
    except Unreadable as error:
        told = repr(error)

    assert [text for text in PLANTED if text in told] == []


@given(st.binary(max_size=200))
def test_whatever_bytes_arrive_are_a_listing_or_unreadable(body: bytes) -> None:
    """Nothing else is raised."""
    try:
        listing = read(read_json(body))
    except Unreadable:
        return

    assert all(row.opportunity_id > 0 for row in listing.rows)


def test_how_much_is_read_of_an_answer() -> None:
    """A page of 100 rows is what SprintHub's own client asks for; 10,000 rows, 8 MB of a list, 1 MB of the rest."""
    assert (PAGE_ROWS, MAX_ROWS) == (100, 10_000)
    assert (MAX_LIST_BYTES, MAX_ANSWER_BYTES) == (8_388_608, 1_048_576)


@pytest.mark.parametrize(
    ("pages", "page", "whole"),
    [
        (None, 0, True),
        (0, 0, True),
        (1, 0, True),
        (2, 0, False),
        (3, 1, False),
        (3, 2, True),
        ("3", 1, False),
        ("x", 0, True),
    ],
)
def test_an_announced_number_of_pages_is_counted_from_one(pages: Any, page: int, *, whole: bool) -> None:
    """And the page that was asked for from zero."""
    assert read({"data": ROWS, "totalPages": pages}, page=page).whole is whole


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "not a list"),
        ({}, "not a list"),
        ({"data": [], "opportunities": []}, "not a list"),
        ({"error": "x", "data": []}, "an error inside a success"),
        ({"data": ROWS, "totalPages": 2}, "a list by lead with further pages"),
        ([{}], "a row without an id"),
    ],
)
def test_why_a_list_proves_nothing_is_told(document: Any, says: str) -> None:
    """In words of ours."""
    with pytest.raises(Unreadable) as why:
        read(document)

    assert str(why.value) == says


def test_of_a_record_that_stands_twice_the_first_counts() -> None:
    """As it would if it stood there alone."""
    twice = [{"id": 5, "fields": {"oppsync": "m-1"}}, {"id": 5, "fields": {"oppsync": ""}}]

    assert [str(row.marker) for row in read(twice).rows] == ["ours"]
    assert read([]).crm_ahead_s is None
