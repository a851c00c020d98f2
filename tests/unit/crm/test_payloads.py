"""The body that goes out: documented keys only, in order, and not a cent lost."""

# ruff: noqa: D103 - the test tools here speak through their names

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.crm.payloads import opportunity_body
from oppsync_worker.instances import InstanceSettings

DOCUMENTED = ["title", "value", "crm_column", "lead_id", "sequence", "status", "expectedCloseDate", "user", "fields"]


def settings(**changes: Any) -> InstanceSettings:
    return InstanceSettings(name="acme", token="t-0123456789", **changes)


def create(**changes: Any) -> CreateOpportunity:
    return CreateOpportunity(**{"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 159, **changes})


def update(**changes: Any) -> UpdateOpportunity:
    return UpdateOpportunity(**{"instance": "acme", "funnel_id": 7, "opportunity_id": 4534, **changes})


def test_a_full_create_has_the_documented_keys_in_order() -> None:
    """Every documented key, spelt and ordered as in the documentation, and exact to the byte."""
    job = create(
        title="Café Ação",
        value="1234.5",
        lead_id=8473,
        sequence=3,
        expected_close_date=datetime(2024, 3, 21, 21, 27, tzinfo=UTC),
        user=156,
        fields={" Origem ": "Site"},
    )

    body = opportunity_body(job, settings(marker_field="Marker"), marker="m-1")

    assert list(json.loads(body)) == DOCUMENTED
    assert body.decode() == (
        '{"title":"Café Ação","value":1234.50,"crm_column":159,"lead_id":8473,"sequence":"3","status":"open",'
        '"expectedCloseDate":"2024-03-21T21:27:00.000Z","user":156,"fields":{" Origem ":"Site","Marker":"m-1"}}'
    )


def test_a_minimal_create_has_no_nulls_and_always_a_sequence() -> None:
    """`sequence` was found to be required; everything else that was not given stays out."""
    body = opportunity_body(create(), settings(), marker="m-1")

    assert body == b'{"title":"T","crm_column":159,"sequence":"0","status":"open"}'


@pytest.mark.parametrize(("as_", "text"), [("string", b'"sequence":"0"'), ("number", b'"sequence":0')])
def test_sequence_is_spelt_as_the_instance_wants_it(as_: str, text: bytes) -> None:
    """Text by default, a number by setting."""
    assert text in opportunity_body(create(), settings(sequence_as=as_), marker=None)


def test_an_update_sends_only_what_was_given() -> None:
    """No default of a create leaks into an update."""
    assert opportunity_body(update(value="0"), settings(marker_field="M"), marker="m") == b'{"value":0.00}'
    assert opportunity_body(update(sequence=0), settings(), marker=None) == b'{"sequence":"0"}'


def test_a_marker_joins_an_updates_own_fields_only_when_asked() -> None:
    """Whether a PUT merges or replaces `fields` is unknown: the caller decides."""
    job = update(fields={"A": "1"})

    assert opportunity_body(job, settings(marker_field="M"), marker=None) == b'{"fields":{"A":"1"}}'
    assert opportunity_body(job, settings(marker_field="M"), marker="m") == b'{"fields":{"A":"1","M":"m"}}'


def test_a_marker_needs_a_field_to_live_in() -> None:
    """Without `marker_field` nothing is added, and no empty `fields` is sent either."""
    assert b"fields" not in opportunity_body(create(), settings(), marker="m")
    assert b"fields" not in opportunity_body(create(fields={}), settings(), marker="m")


def test_our_marker_wins_over_a_callers_value() -> None:
    """A marker that is not the job's would make a lost create unfindable."""
    body = opportunity_body(create(fields={"M": "x"}), settings(marker_field="M"), marker="m")

    assert json.loads(body)["fields"] == {"M": "m"}


cents = st.integers(-(10**15) + 1, 10**15 - 1).map(lambda n: Decimal(n).scaleb(-2))


@given(cents)
def test_no_cent_is_lost_in_a_number(amount: Decimal) -> None:
    """Exact as decimal text, and exact for a reader that holds numbers as doubles (JavaScript)."""
    body = opportunity_body(create(value=amount), settings(), marker=None).decode()

    assert json.loads(body, parse_float=Decimal)["value"] == amount
    assert Decimal(repr(json.loads(body)["value"])) == amount


@given(cents)
def test_no_cent_is_lost_in_a_text(amount: Decimal) -> None:
    """Two decimals, a dot, no exponent, no thousands separator."""
    text = json.loads(opportunity_body(create(value=amount), settings(value_as="string"), marker=None))["value"]

    assert Decimal(text) == amount
    assert text[-3] == "."
    assert set(text) <= set("-0123456789.")


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
values = names | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(names.filter(str.strip), st.dictionaries(names, values, max_size=5))
def test_any_text_arrives_as_it_was_given(title: str, fields: dict[str, Any]) -> None:
    """Keys are never trimmed, texts never escaped into ASCII, and the body is always one JSON object."""
    body = opportunity_body(create(title=title, fields=fields), settings(), marker=None)

    document = json.loads(body.decode())
    assert document["title"] == title
    assert document.get("fields", {}) == fields
    assert set(document) <= set(DOCUMENTED)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_number_never_leaves(value: float) -> None:
    """The contract refuses it; should that fail, nothing is sent rather than something that nobody can read."""
    job = create(fields={"A": "1"})
    hostile = job.model_copy(update={"fields": {"A": value}})

    with pytest.raises(ValueError, match="JSON"):
        opportunity_body(hostile, settings(), marker=None)
