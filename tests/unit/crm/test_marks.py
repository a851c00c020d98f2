"""What an answer shows of our marker."""

from typing import Any

import pytest

from oppsync_worker.crm.marks import Mark, mark_in


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"oppsync": "m-1", "Origem": "x"}, Mark.OURS),
        ({"oppsync": " m-1\n"}, Mark.OURS),
        ({"oppsync": "m-2"}, Mark.OTHER),
        ({"oppsync": "M-1"}, Mark.OTHER),
        ({"oppsync": "m-11"}, Mark.OTHER),
        ({"oppsync": 7}, Mark.OTHER),
        ({"oppsync": ""}, Mark.EMPTY),
        ({"oppsync": "  "}, Mark.EMPTY),
        ({"oppsync": None}, Mark.EMPTY),
        ({}, Mark.UNDECLARED),
        ({"oppsync ": "m-1", "Oppsync": "m-1"}, Mark.UNDECLARED),
        (None, Mark.UNKNOWN),
        ([], Mark.UNKNOWN),
        ([{"name": "oppsync", "value": "m-1"}], Mark.UNKNOWN),
        ("m-1", Mark.UNKNOWN),
        ({"oppsync": {"value": "m-1"}}, Mark.UNKNOWN),
        ({"oppsync": ["m-1"]}, Mark.UNKNOWN),
        ({"oppsync": True}, Mark.UNKNOWN),
    ],
)
def test_a_mark_is_what_the_field_of_exactly_that_name_shows(fields: Any, mark: Mark) -> None:
    """A shape that nobody has seen tells nothing, least of all that the marker is missing."""
    assert mark_in(fields, marker_field="oppsync", marker="m-1") is mark


def test_an_id_of_digits_may_come_back_as_a_number() -> None:
    """Custom values read back as texts wherever they were seen, but JSON has both."""
    assert mark_in({"oppsync": 17}, marker_field="oppsync", marker="17") is Mark.OURS


@pytest.mark.parametrize(("marker_field", "marker"), [(None, "m-1"), ("oppsync", None), (None, None)])
def test_without_a_field_or_a_marker_nothing_is_known(marker_field: str | None, marker: str | None) -> None:
    """Neither found nor missing."""
    assert mark_in({"oppsync": "m-1"}, marker_field=marker_field, marker=marker) is Mark.UNKNOWN


def test_marks_are_words_that_the_ledger_keeps() -> None:
    """In what is shown to a person, and in what a look-up is judged by."""
    assert [mark.value for mark in Mark] == ["ours", "other", "empty", "undeclared", "unknown"]
