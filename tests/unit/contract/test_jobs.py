"""Bad input is refused at the door, with the field named and no value repeated."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oppsync_worker.contract.errors import InvalidJob
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity

LEAST = {"instance": "acme", "funnel_id": 7, "title": "Deal", "crm_column": 130}


@pytest.mark.parametrize(
    ("given_", "field", "says"),
    [
        ({"title": "  "}, "title", "empty"),
        ({"title": None}, "title", "string"),
        ({"title": "x" * 501}, "title", "500"),
        ({"title": "a\x00b"}, "title", "NUL"),
        ({"title": "\ud800"}, "title", "unicode"),
        ({"funnel_id": "7"}, "funnel_id", "integer"),
        ({"funnel_id": True}, "funnel_id", "integer"),
        ({"funnel_id": 0}, "funnel_id", "greater than 0"),
        ({"crm_column": 2**53}, "crm_column", "less than"),
        ({"value": "1.234,56"}, "value", "decimal"),
        ({"value": float("nan")}, "value", "finite"),
        ({"value": float("inf")}, "value", "finite"),
        ({"value": "1.005"}, "value", "2 decimal places"),
        ({"value": 0.1 + 0.2}, "value", "2 decimal places"),
        ({"value": "12345678901234.00"}, "value", "13 digits"),
        ({"value": True}, "value", "decimal"),
        ({"value": "1e999999999"}, "value", "13 digits"),
        ({"value": "\ud800"}, "value", "decimal"),
        ({"status": "won"}, "status", "'open', 'gain' or 'lost'"),
        ({"expectedCloseDate": "2026-03-21T21:27:00"}, "expectedCloseDate", "time zone"),
        ({"expectedCloseDate": "soon"}, "expectedCloseDate", "ISO 8601"),
        ({"expectedCloseDate": 5}, "expectedCloseDate", "ISO 8601"),
        ({"deadline": "0001-01-01T00:00:00+14:00"}, "deadline", "years"),
        ({"fields": {"a": [1]}}, "fields.a", "text"),
        ({"fields": {"a": float("inf")}}, "fields.a", "finite"),
        ({"fields": {"": "x"}}, "fields", "name"),
        ({"fields": []}, "fields", "dictionary"),
        ({"instance": "a b"}, "instance", "characters"),
        ({"instance": "acme\n"}, "instance", "characters"),
        ({"lane": "fast"}, "lane", "'interactive' or 'bulk'"),
        ({"colour": "red"}, "colour", "not a field"),
        ({"job_id": "../x"}, "job_id", "characters"),
        ({"external_ref": " "}, "external_ref", "empty"),
    ],
)
def test_bad_input_is_refused_by_field(given_: dict[str, object], field: str, says: str) -> None:
    """One row for each way to be wrong."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({**LEAST, **given_})

    assert [problem.field for problem in refused.value.problems] == [field]
    assert says in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    """A person mends a file once."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({"instance": "acme", "title": "", "value": "x"})

    assert {problem.field for problem in refused.value.problems} == {"title", "value", "funnel_id", "crm_column"}


def test_no_value_is_repeated() -> None:
    """What a customer wrote stays out of error texts."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({**LEAST, "title": "Maria" * 200, "value": "Maria", "user": "Maria"})

    assert "Maria" not in str(refused.value)


def test_a_job_cannot_be_changed() -> None:
    """Frozen."""
    with pytest.raises(ValidationError):
        CreateOpportunity.parse(LEAST).title = "Other"  # type: ignore[misc]


def test_dates_are_kept_in_utc_to_the_millisecond() -> None:
    """As SprintHub documents them."""
    job = CreateOpportunity.parse({**LEAST, "expectedCloseDate": "2026-03-21T18:27:00.123999-03:00"})

    assert job.expected_close_date == datetime(2026, 3, 21, 21, 27, 0, 123000, tzinfo=UTC)
    assert job.model_dump(mode="json", by_alias=True)["expectedCloseDate"] == "2026-03-21T21:27:00.123Z"


def test_both_spellings_of_the_close_date_are_taken() -> None:
    """The document's, and Python's."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    by_alias = CreateOpportunity.parse({**LEAST, "expectedCloseDate": moment})
    by_name = CreateOpportunity.parse({**LEAST, "expected_close_date": moment})

    assert by_alias.expected_close_date == by_name.expected_close_date == moment


def test_custom_fields_keep_their_exact_names() -> None:
    """Outer spaces and accents count."""
    job = CreateOpportunity.parse({**LEAST, "fields": {" Ação ": "x", "Nada": None}})

    assert job.fields == {" Ação ": "x"}


@given(st.decimals(min_value=-(10**13) + 1, max_value=10**13 - 1, places=2))
def test_no_cent_is_lost(amount: Decimal) -> None:
    """Through JSON and back."""
    job = CreateOpportunity.parse({**LEAST, "value": str(amount)})

    again = CreateOpportunity.model_validate_json(job.model_dump_json(by_alias=True))

    assert again.value == amount


def test_an_update_says_which_and_what() -> None:
    """Neither may be missing."""
    with pytest.raises(InvalidJob, match="opportunity_id or external_ref"):
        UpdateOpportunity.parse({"instance": "acme", "funnel_id": 7, "title": "x"})
    with pytest.raises(InvalidJob, match="at least one field"):
        UpdateOpportunity.parse({"instance": "acme", "funnel_id": 7, "opportunity_id": 1})


def test_a_deadline_before_its_start_is_refused() -> None:
    """It could never be sent."""
    with pytest.raises(InvalidJob, match="deadline must be later"):
        CreateOpportunity.parse({**LEAST, "not_before": "2026-02-01T00:00:00Z", "deadline": "2026-01-01T00:00:00Z"})


def test_problems_are_told_in_bounded_words() -> None:
    """A stranger chose the names: neither their number, nor their length, nor their line breaks get into a log."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({**LEAST, "a\nb": 1, "x" * 10_000: 1, **{f"k{number}": 1 for number in range(500)}})

    said = str(refused.value)
    assert "a\\nb: is not a field" in said
    assert said.endswith("and 482 more")
    assert said.isprintable()
    assert len(said) < 2_000


def test_a_time_before_1970_is_not_none() -> None:
    """The ledger's 0 means that there is no deadline."""
    job = CreateOpportunity.parse({**LEAST, "deadline": "1960-01-01T00:00:00Z"})

    assert milliseconds(job.deadline) == 1
    assert milliseconds(None) == 0


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("2023-11-14T22:13:20.250Z", 1_700_000_000_250),
        ("2023-11-14T19:13:20.251-03:00", 1_700_000_000_251),
        ("1970-01-01T00:00:00.002Z", 2),
        ("1970-01-01T00:00:00Z", 1),
    ],
)
def test_the_ledger_keeps_times_in_milliseconds(moment: str, kept: int) -> None:
    """Since 1970, in UTC, to the millisecond."""
    assert milliseconds(CreateOpportunity.parse({**LEAST, "deadline": moment}).deadline) == kept


FULL = CreateOpportunity.parse({**LEAST, "value": "1.5", "sequence": 0, "fields": {"A": "x", "B": 2}})


def test_a_job_names_what_it_writes() -> None:
    """In the document's order, custom fields after the plain ones."""
    written = ("title", "value", "crm_column", "sequence", "status", "fields.A", "fields.B")
    assert FULL.written() == written
    assert CreateOpportunity.parse(LEAST).written() == ("title", "crm_column", "status")


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["fields.A"], ("title", "value", "crm_column", "sequence", "status", "fields.B")),
        (["fields.A", "fields.B", "value"], ("title", "crm_column", "sequence", "status")),
        (["instance", "job_id", "nothing"], FULL.written()),
        ([], FULL.written()),
    ],
)
def test_a_job_is_sent_without_some_of_its_fields(names: list[str], left: tuple[str, ...]) -> None:
    """Those only: never what says which record it is, or how it travels."""
    job = FULL.without(names)

    assert job.written() == left
    assert (job.job_id, job.instance) == (FULL.job_id, FULL.instance)
    assert job.document() == {
        **{name: getattr(FULL, name) for name in left if not name.startswith("fields.")},
        **(
            {"fields": rest}
            if (rest := {n: v for n, v in (FULL.fields or {}).items() if f"fields.{n}" in left})
            else {}
        ),
    }


def test_a_job_without_custom_fields_stays_without() -> None:
    """Nothing is added."""
    assert CreateOpportunity.parse(LEAST).without(["title"]).fields is None


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"title": ...}, "title: is missing"),
        ({"colour": "red"}, "colour: is not a field of this job"),
        ({"instance": "a b"}, "instance: holds characters that are not allowed, or is too long"),
        ({"funnel_id": "7"}, "funnel_id: must be a valid integer"),
        ({"title": 5}, "title: must be a valid string"),
        ({"title": "x" * 501}, "title: must have at most 500 characters"),
        ({"external_ref": "x" * 201}, "external_ref: must have at most 200 characters"),
        ({"job_id": "raw-1"}, "job_id: must not begin with raw-, which names messages that are no jobs"),
        ({"sequence": -1}, "sequence: must be greater than or equal to 0"),
        ({"sequence": 2**31}, "sequence: must be less than or equal to 2147483647"),
        ({"fields": {"a": 2**53}}, "fields.a: is too large a number: send it as text"),
        ({"fields": {"a": -(2**53)}}, "fields.a: is too large a number: send it as text"),
        ({"fields": {"a\x00": "x"}}, "fields: must not contain a NUL character"),
        ({"fields": {"a": "\x00"}}, "fields.a: must not contain a NUL character"),
        ({"fields": {"a": "\ud800"}}, "fields.a: must be valid Unicode (a lone surrogate cannot be sent)"),
        ({"fields": {"a": None, "b": []}}, "fields.b: must be a text, a finite number or a boolean"),
        ({"value": []}, "value: must be a decimal number such as 1234.56"),
        (
            {"not_before": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:00:00Z"},
            "deadline must be later than not_before",
        ),
    ],
)
def test_a_refusal_is_told_in_these_words(given_: dict[str, object], says: str) -> None:
    """Whole: nothing of the validator's own stays in it."""
    document = {name: value for name, value in {**LEAST, **given_}.items() if value is not ...}
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse(document)

    assert str(refused.value) == says


@pytest.mark.parametrize(
    "given_",
    [
        {"title": "x" * 500},
        {"external_ref": "x" * 200, "idempotency_key": "x"},
        {"crm_column": 2**53 - 1, "funnel_id": 1, "sequence": 2**31 - 1},
        {"fields": {"a": 2**53 - 1, "b": -(2**53) + 1, "c": 0.5, "d": False, "e": ""}},
        {"value": "9999999999999.99"},
        {"value": "-9999999999999.99"},
        {"instance": "a" * 63, "job_id": "a" * 128},
    ],
)
def test_what_is_just_within_its_bounds_is_taken(given_: dict[str, object]) -> None:
    """The largest of each."""
    job = CreateOpportunity.parse({**LEAST, **given_})

    assert {name: str(getattr(job, name)) for name in given_} == {name: str(value) for name, value in given_.items()}


@pytest.mark.parametrize(("count", "ends"), [(20, "k19: is not a field of this job"), (21, "and 1 more")])
def test_twenty_problems_are_named(count: int, ends: str) -> None:
    """Of more, how many."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({**LEAST, **{f"k{number}": 1 for number in range(count)}})

    assert str(refused.value).endswith(ends)


def test_a_field_s_name_is_told_up_to_eighty_characters() -> None:
    """A stranger chose it."""
    with pytest.raises(InvalidJob) as refused:
        CreateOpportunity.parse({**LEAST, "x" * 81: 1, "y" * 80: 1})

    assert [one.field for one in refused.value.problems] == ["x" * 80 + "...", "y" * 80]


def test_an_update_names_its_target_and_a_create_has_none() -> None:
    """One named by its reference has none either, as yet."""
    update = {"instance": "acme", "funnel_id": 7, "title": "x"}

    assert CreateOpportunity.parse(LEAST).target is None
    assert UpdateOpportunity.parse({**update, "opportunity_id": 4534}).target == 4534
    assert UpdateOpportunity.parse({**update, "external_ref": "r"}).target is None


def test_python_values_stay_python_values() -> None:
    """Only JSON makes texts of amounts and times."""
    job = CreateOpportunity.parse({**LEAST, "value": "1E+2", "deadline": "2026-01-01T00:00:00Z"})

    assert job.model_dump()["value"] == Decimal("100.00")
    assert job.model_dump()["deadline"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert job.model_dump(mode="json")["value"] == "100.00"
    assert job.model_dump(mode="json")["deadline"] == "2026-01-01T00:00:00.000Z"
