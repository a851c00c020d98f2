"""Options made from the contract's models."""

import pytest

from oppsync_ops.cli.job_options import HELP, job_from
from oppsync_ops.jobs.typed import attribute_of, choices, custom_field, is_whole, value_of
from oppsync_worker.contract.errors import InvalidJob
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity

LEAST = {"instance": "acme", "funnel_id": 7, "title": "Casa", "crm_column": 130}


def test_every_field_has_words_in_the_help() -> None:
    """A new field of the contract needs its line here."""
    fields = {*CreateOpportunity.model_fields, *UpdateOpportunity.model_fields} - {"fields"}

    assert set(HELP) == fields


@pytest.mark.parametrize(
    ("name", "whole"),
    [("funnel_id", True), ("sequence", True), ("opportunity_id", True), ("value", False), ("title", False)],
)
def test_whole_numbers_are_known_by_their_type(name: str, whole: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An amount is none: it keeps its cents as text."""
    assert is_whole(UpdateOpportunity.model_fields[name]) is whole


def test_words_to_choose_from_are_known_by_their_type() -> None:
    """Literals and enumerations."""
    assert choices(CreateOpportunity.model_fields["status"]) == ("open", "gain", "lost")
    assert choices(CreateOpportunity.model_fields["lane"]) == ("interactive", "bulk")
    assert choices(CreateOpportunity.model_fields["title"]) == ()


def test_both_spellings_mean_one_field() -> None:
    """The wire's and the attribute's."""
    assert attribute_of("expectedCloseDate") == attribute_of("expected_close_date") == "expected_close_date"
    assert attribute_of("colour") is None


@pytest.mark.parametrize("text", ["", "1.5", "abc", "1e3", "9" * 40])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    """Never rounded, never guessed."""
    with pytest.raises(ValueError, match="whole number"):
        value_of("crm_column", text)


@pytest.mark.parametrize("text", ["", "=x", "name"])
def test_a_custom_field_has_a_name_and_an_equals_sign(text: str) -> None:
    """The name is exact; the value may hold more equals signs."""
    assert custom_field(" A =b=c") == (" A ", "b=c")
    with pytest.raises(ValueError, match="display name=value"):
        custom_field(text)


def test_options_come_before_the_document() -> None:
    """In either spelling."""
    document = {**LEAST, "expectedCloseDate": "2030-01-01T00:00:00Z"}

    job = job_from(CreateOpportunity, document, {"expected_close_date": "2031-01-01T00:00:00Z", "title": None}, ())

    assert job.expected_close_date
    assert (job.expected_close_date.year, job.title) == (2031, "Casa")


def test_problems_are_named_as_options_where_there_is_no_document() -> None:
    """As they were typed."""
    with pytest.raises(InvalidJob) as caught:
        job_from(CreateOpportunity, {}, {**LEAST, "value": "1,5"}, ("=x",))
    custom = caught.value.problems
    with pytest.raises(InvalidJob) as caught:
        job_from(CreateOpportunity, {}, {**LEAST, "value": "1,5"}, ())

    assert [problem.field for problem in custom] == ["--field"]
    assert [problem.field for problem in caught.value.problems] == ["--value"]


def test_problems_of_a_document_keep_its_names() -> None:
    """That is where they are mended."""
    with pytest.raises(InvalidJob) as caught:
        job_from(CreateOpportunity, {**LEAST, "value": "1,5"}, {}, ())

    assert [problem.field for problem in caught.value.problems] == ["value"]


def test_a_custom_field_is_given_once() -> None:
    """Twice is a slip, not a wish."""
    with pytest.raises(InvalidJob, match="'A' twice"):
        job_from(CreateOpportunity, {}, LEAST, ("A=1", "A=2"))
