"""A row of a list beside the create that may have made it."""

# ruff: noqa: D103 - the test tools here speak through their names

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.crm.answers import Unreadable
from oppsync_worker.crm.marks import Mark
from oppsync_worker.crm.sightings import Sighting, Sought, sighting
from oppsync_worker.instances import InstanceSettings

JOB = CreateOpportunity(
    instance="acme", funnel_id=7, title="Ação  nº 1", value="350.50", crm_column=130, lead_id=8473, user=156
)
SETTINGS = InstanceSettings(name="acme", token="t-1", marker_field="oppsync")
SOUGHT = Sought.of(JOB, SETTINGS, marker="m-1")
OURS: dict[str, Any] = {
    "id": 4534,
    "title": "Ação  nº 1",
    "value": "350.50",
    "crm_column": 130,
    "lead_id": 8473,
    "status": "open",
    "user": 156,
    "createDate": "2024-03-19T21:14:35.000Z",
    "dataLead": {"email": "teste@teste.com"},
    "fields": {"oppsync": "m-1", "CPF": "1"},
}


def seen(sought: Sought = SOUGHT, **changes: Any) -> Sighting:
    return sighting({**OURS, **changes}, sought)


def seen_without(name: str, sought: Sought = SOUGHT) -> Sighting:
    return sighting({key: value for key, value in OURS.items() if key != name}, sought)


def sought(**changes: Any) -> Sought:
    return Sought.of(CreateOpportunity.parse({**JOB.model_dump(), **changes}), SETTINGS, marker="m-1")


def test_what_is_sought_comes_from_the_job_and_its_instance() -> None:
    """And it shows no customer's text to whoever prints it."""
    assert Sought("Ação  nº 1", Decimal("350.50"), 156, 130, 8473, "m-1", "oppsync") == SOUGHT
    assert "nº 1" not in repr(SOUGHT)


def test_our_own_record_is_the_same_in_everything() -> None:
    """And only verdicts, the id, the time and the whitelist are kept."""
    assert seen() == Sighting(
        4534,
        created=datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC),
        marker=Mark.OURS,
        title_same=True,
        value_same=True,
        user_same=True,
        column_same=True,
        lead_same=True,
        kept={
            "id": 4534,
            "crm_column": 130,
            "lead_id": 8473,
            "status": "open",
            "value": "350.50",
            "user": 156,
            "createDate": "2024-03-19T21:14:35.000Z",
        },
    )


@pytest.mark.parametrize(
    "row", [None, 4534, "4534", [], [OURS], {}, {"title": "x"}, *({"id": i} for i in (0, -1, "x"))]
)
def test_what_has_no_id_is_no_record(row: Any) -> None:
    """It hides whatever it is."""
    with pytest.raises(Unreadable):
        sighting(row, SOUGHT)


@pytest.mark.parametrize("title", ["Ação nº 1", " Ação  nº 1 ", "Ac\u0327a\u0303o\u00a0nº 1"])
def test_a_title_is_the_same_however_spaced_or_composed(title: str) -> None:
    """A CRM that trims, or composes accents, has not made it somebody else's."""
    assert seen(title=title).title_same


@pytest.mark.parametrize("title", ["ação nº 1", "Acao nº 1", "Ação nº 12", "", None])
def test_another_title_is_not_the_same(title: str | None) -> None:
    """Neither is none."""
    assert not seen(title=title).title_same


@pytest.mark.parametrize("value", ["350.50", "350.5", "350.500", "+350.5", "3.505e2", "3505E-1"])
def test_amounts_are_compared_as_decimals(value: str) -> None:
    """Lists show texts with two decimals; JSON fractions arrive here as texts too."""
    assert seen(value=value).value_same


@pytest.mark.parametrize("value", ["350.51", "-350.50", "0.00", 350, 351, "", None])
def test_another_amount_is_not_the_same(value: Any) -> None:
    """No amount is none."""
    assert not seen(value=value).value_same


@pytest.mark.parametrize("without", [None, "0", "0.00"])
@pytest.mark.parametrize("value", ["0.00", "0", "-0.00", 0, "", None])
def test_no_value_and_zero_are_one(without: str | None, value: Any) -> None:
    """SprintHub shows a card without a value as "0.00"."""
    assert seen(sought(value=without), value=value).value_same
    assert not seen(sought(value=without), value="0.01").value_same


@pytest.mark.parametrize("user", [156, "156", {"id": 156, "name": "Maria"}, {"id": "156"}])
def test_a_user_is_a_number_or_an_object_with_an_id(user: Any) -> None:
    """Both were seen."""
    assert seen(user=user).user_same
    assert seen(user=user).kept["user"] == 156


@pytest.mark.parametrize("user", [157, "157", {"id": 157}, None])
def test_another_user_is_not_the_same(user: Any) -> None:
    """Neither is none, when one was asked for."""
    assert not seen(user=user).user_same


@pytest.mark.parametrize("user", [None, 157, {"id": 157}, {"name": "Maria"}])
def test_a_create_for_nobody_matches_any_user(user: Any) -> None:
    """SprintHub may give it an owner by itself."""
    assert seen(sought(user=None), user=user).user_same


def test_columns_are_compared() -> None:
    """People move records."""
    assert seen(crm_column="130").column_same
    assert not seen(crm_column=131).column_same
    assert not seen(crm_column=None).column_same


def test_leads_are_compared_where_both_sides_name_one() -> None:
    """A list by lead need not repeat it, and a create may have none."""
    assert seen(lead_id="8473").lead_same is True
    assert seen(lead_id=1).lead_same is False
    assert seen_without("lead_id").lead_same is None
    assert seen(sought(lead_id=None)).lead_same is None


@pytest.mark.parametrize(
    ("name", "verdict", "odd"),
    [
        ("title", "title_same", [{"text": "x"}, 1, True]),
        ("value", "value_same", ["R$ 1,00", {"amount": 1}, True, "1" * 99, "NaN", "1e999"]),
        ("user", "user_same", [{"name": "Maria"}, "Maria", [], True]),
        ("crm_column", "column_same", [{"name": "Novo"}, "Novo", []]),
    ],
)
def test_what_a_row_does_not_show_is_no_evidence_against_it(name: str, verdict: str, odd: list[Any]) -> None:
    """Our own record taken for a stranger's would be created twice."""
    assert getattr(seen_without(name), verdict) is True
    assert all(getattr(seen(**{name: value}), verdict) is True for value in odd)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-19T21:14:35.000Z", datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)),
        ("2024-03-19T18:14:35-03:00", datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)),
        ("2024-03-19 21:14:35", datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)),
        ("2024-03-19", None),
        ("2024-13-19T21:14:35Z", None),
        ("2024-03-19T21:14:35+99:99", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("19/03/2024 21:14", None),
        ("", None),
        (None, None),
        (1_710_882_875, None),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: Any, moment: datetime | None) -> None:
    """A bare date is no time: its midnight would lie outside every window."""
    assert seen(createDate=text).created == moment


def test_the_marker_is_looked_for_in_the_rows_fields() -> None:
    """See `marks`."""
    assert seen(fields={"oppsync": "m-2"}).marker is Mark.OTHER
    assert seen_without("fields").marker is Mark.UNKNOWN
    unmarked = Sought.of(JOB, InstanceSettings(name="acme", token="t-1"), marker="m-1")
    assert seen(unmarked).marker is Mark.UNKNOWN


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("Maria Silva"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "oppsync", "name"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(OURS)), values), st.sampled_from([SOUGHT, sought(user=None, value=None)]))
def test_any_row_is_a_sighting_or_unreadable(row: dict[str, Any], wanted: Sought) -> None:
    """Nothing else is raised, and no verdict is anything but a verdict."""
    try:
        found = sighting(row, wanted)
    except Unreadable:
        return

    verdicts = (found.title_same, found.value_same, found.user_same, found.column_same)
    assert {type(verdict) for verdict in verdicts} == {bool}
    assert found.lead_same in (True, False, None)
    assert found.opportunity_id > 0
    assert "Maria" not in repr(found)


def test_a_time_without_a_zone_is_utc_whatever_this_machines_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is in UTC."""
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        assert seen(createDate="2024-03-19 21:14:35").created == datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
