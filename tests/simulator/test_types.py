"""The types each endpoint was seen to use, and the types it accepts."""

from typing import Any

import pytest

from simulator.integrator import Integrator, Simulate

DECLARED = {"oppsync", "Origem", " Campo com espaço ", "Ação", "CPF", "Observação"}


async def test_reads_give_the_value_as_text_and_every_declared_field(crm: Integrator) -> None:
    """GET one and both lists: value with two decimals, unset fields empty, no funnel id."""
    opportunity = await crm.created("m1", fields={"oppsync": "m1", " Campo com espaço ": "  kept  "})

    one = (await crm.read(opportunity["id"])).json()
    rows = [(await crm.by_lead()).json()[0], (await crm.by_column()).json()[0]]

    for found in (one, *rows):
        assert (found["value"], found["sequence"]) == ("350.50", 0)
        assert set(found["fields"]) == DECLARED
        assert found["fields"][" Campo com espaço "] == "  kept  "
        assert found["fields"]["Origem"] == ""
        assert "funnel_id" not in found
    assert opportunity["fields"] == {"oppsync": "m1", " Campo com espaço ": "  kept  "}
    assert all((row["archived"], row["conf_installment"]) == (0, []) for row in rows)
    assert "archived" not in one


async def test_dates_of_opportunities_have_whole_seconds_and_those_of_leads_do_not(crm: Integrator) -> None:
    """The lead's lastActive moves at create."""
    crm.sim.advance(0.25)

    opportunity = await crm.created()

    assert opportunity["createDate"] == opportunity["updateDate"] == "2026-01-05T12:00:00.000Z"
    assert opportunity["dataLead"]["lastActive"] == "2026-01-05T12:00:00.250Z"
    assert not opportunity["dataLead"]["createDate"].endswith(".000Z")


@pytest.mark.parametrize(
    ("sent", "written", "read"),
    [
        (1, 1, "1.00"),
        ("0", 0, "0.00"),
        (350.5, 350.5, "350.50"),
        ("213.205", 213.21, "213.21"),
        (-2.5, -2.5, "-2.50"),
        (10**9, 10**9, "1000000000.00"),
    ],
)
async def test_value_is_a_number_on_write_and_a_text_on_read(
    crm: Integrator, sent: Any, written: Any, read: str
) -> None:
    """Compare as decimals, never as float or text."""
    opportunity = await crm.created(value=sent)

    assert opportunity["value"] == written
    assert (await crm.read(opportunity["id"])).json()["value"] == read


@pytest.mark.parametrize(
    ("knob", "setting", "accepted", "refused"),
    [
        ("sequence", "any", ["0", "", 3], [None, [], "x", -1, True]),
        ("sequence", "string_only", ["0", ""], [0]),
        ("sequence", "number_only", [0], ["0", ""]),
        ("value", "any", ["1.5", 1.5], ["1,000.00", "", "abc", [], True, 1e300]),
        ("value", "string_only", ["1.5"], [1.5]),
        ("value", "number_only", [1.5], ["1.5"]),
    ],
)
async def test_accepted_json_types_are_knobs(
    simulate: Simulate, knob: str, setting: str, accepted: list[Any], refused: list[Any]
) -> None:
    """The docs say number, clients send strings."""
    crm = await simulate(**{knob: setting})

    for value in accepted:
        assert (await crm.create(**{knob: value})).status_code == 200, value
    for value in refused:
        assert (await crm.create(**{knob: value})).status_code == 400, value


async def test_sequence_can_be_optional(simulate: Simulate) -> None:
    """Knob sequence_required."""
    crm = await simulate(sequence_required=False)

    assert (await crm.create(sequence=None)).status_code == 200


async def test_the_lead_can_be_optional(simulate: Simulate) -> None:
    """Knob lead_required: without it, such a create is refused by name."""
    strict, lenient = await simulate(), await simulate(lead_required=False)

    refused = await strict.create(lead_id=None)
    accepted = await lenient.create(lead_id=None)

    assert refused.status_code == 400
    assert "lead_id is required" in refused.text
    assert accepted.status_code == 200


async def test_nulls_are_refused_but_for_the_five_some_clients_send(crm: Integrator) -> None:
    """Knob nulls."""
    body = {"title": "t", "crm_column": 130, "lead_id": 1, "sequence": "0"}

    refused = await crm.call("POST", "/crmopportunity", body=body | {"user": None}, id=7)
    exempt = dict.fromkeys(("loss_reason", "gain_reason", "expectedCloseDate", "sale_channel", "campaign"))
    accepted = await crm.call("POST", "/crmopportunity", body=body | exempt, id=7)
    crm.sim.configure(nulls="accept")
    lenient = await crm.call("POST", "/crmopportunity", body=body | {"user": None, "fields": {"CPF": None}}, id=7)

    assert (refused.status_code, accepted.status_code, lenient.status_code) == (400, 200, 200)
    assert "user" in refused.json()["msg"]


async def test_unknown_top_level_keys_are_refused_by_name(crm: Integrator) -> None:
    """Knob unknown_keys; the permission keys are known, with brackets too."""
    refused = await crm.create(external_id="x")
    permitted = await crm.create(**{"sprint_permission": "all", "sprint_permission_users[]": [1]})
    crm.sim.configure(unknown_keys="ignore")
    ignored = await crm.create(external_id="x")

    assert refused.json() == {"msg": "property external_id should not exist"}
    assert (permitted.status_code, ignored.status_code) == (200, 200)


async def test_user_can_be_an_object_in_the_lead_list(simulate: Simulate) -> None:
    """Knob user_in_lead_list; a number elsewhere."""
    crm = await simulate(user_in_lead_list="object")
    await crm.created(user=5)

    assert (await crm.by_lead()).json()[0]["user"]["id"] == 5
    assert (await crm.by_column()).json()[0]["user"] == 5


async def test_list_order_is_a_knob(crm: Integrator) -> None:
    """Newest update first, by id, or shuffled the same way every time."""
    ids = [(await crm.created())["id"] for _ in range(8)]
    crm.sim.advance(1)
    await crm.update(ids[2], title="touched")

    newest = await crm.ids_by_column()
    crm.sim.configure(list_order="id_asc")
    ascending = await crm.ids_by_column()
    crm.sim.configure(list_order="shuffled")
    shuffled = [await crm.ids_by_column(), await crm.ids_by_column()]

    assert newest == [ids[2], *[one for one in ids[::-1] if one != ids[2]]]
    assert ascending == ids
    assert shuffled[0] == shuffled[1]
    assert sorted(shuffled[0]) == ids
    assert shuffled[0] not in (ids, newest)


async def test_rows_can_carry_the_funnel_and_leave_the_lead_out(simulate: Simulate) -> None:
    """Knobs with_funnel_id and list_embeds."""
    crm = await simulate(with_funnel_id=True, list_embeds="nothing")
    await crm.created()

    for row in ((await crm.by_lead()).json()[0], (await crm.by_column()).json()[0]):
        assert row["funnel_id"] == 7
        assert "dataLead" not in row


async def test_other_json_types_in_custom_fields_read_back_as_text(crm: Integrator) -> None:
    """Text is the only proven type."""
    opportunity = await crm.created(fields={"CPF": 12, "Origem": True})

    assert opportunity["fields"] == {"CPF": "12", "Origem": "true"}
    assert (await crm.create(fields={"CPF": {"nested": 1}})).status_code == 400
