"""Error answers, in the shapes and with the statuses integrators have seen."""

from typing import Any

import httpx
import pytest

from simulator.integrator import TOKENS, Integrator, Simulate


@pytest.mark.parametrize("token", [None, "wrong", TOKENS["globex"]])
async def test_a_missing_or_wrong_token_is_401_without_the_throttle_words(crm: Integrator, token: str | None) -> None:
    """Only the text tells it from a throttled answer."""
    crm.headers = {} if token is None else {"apitoken": token}

    answer = await crm.create("m1")

    assert answer.status_code == 401
    assert answer.json() == {"msg": "Invalid token."}
    assert crm.figures()["created"] == 0


async def test_the_token_may_stand_in_the_query(crm: Integrator) -> None:
    """As other integrators send it."""
    crm.headers = {}

    answer = await crm.call("GET", "/crm", apitoken=TOKENS["acme"])

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("setting", "absent", "wrong"), [("ignore", 200, 200), ("must_match", 200, 401), ("required", 401, 401)]
)
async def test_the_bearer_is_a_knob(simulate: Simulate, setting: str, absent: int, wrong: int) -> None:
    """``apitoken`` alone seems to authenticate."""
    crm = await simulate(bearer=setting)
    right = await crm.call("GET", "/crm")
    del crm.headers["Authorization"]
    without = await crm.call("GET", "/crm")
    crm.headers["Authorization"] = "Bearer other"

    assert right.status_code == 200
    assert without.status_code == absent
    assert (await crm.call("GET", "/crm")).status_code == wrong


async def test_the_wording_of_a_bad_token_is_configurable(simulate: Simulate) -> None:
    """The real wording is unknown."""
    crm = await simulate(invalid_token_text="Token inválido")
    crm.headers = {}

    assert (await crm.call("GET", "/crm")).json() == {"msg": "Token inválido"}


async def test_an_unknown_instance_is_refused(crm: Integrator) -> None:
    """Before the token is looked at."""
    crm.instance = "nobody"

    answer = await crm.create()

    assert answer.status_code == 401
    assert crm.sim.counters()["unrouted"] == 1


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"title": None}, "title"),
        ({"title": " "}, "title"),
        ({"crm_column": None}, "crm_column"),
        ({"crm_column": "130"}, "crm_column"),
        ({"crm_column": 999}, "crm_column 999"),
        ({"crm_column": 159}, "crm_column 159"),
        ({"lead_id": None}, "lead_id"),
        ({"lead_id": 1_000_001}, "lead_id 1000001"),
        ({"lead_id": 77}, "lead_id 77"),
        ({"sequence": None}, "sequence"),
        ({"status": "won"}, "status"),
        ({"user": 21}, "user 21"),
        ({"fields": []}, "fields"),
        ({"fields": {"CPF": None}}, "fields.CPF"),
        ({"expectedCloseDate": "soon"}, "expectedCloseDate"),
        ({"funnel": 9}, "funnel 9"),
    ],
)
async def test_create_names_the_culprit(simulate: Simulate, changes: dict[str, Any], culprit: str) -> None:
    """400 with ``msg``; nothing is created."""
    crm = await simulate(unknown_leads=(77,))

    answer = await crm.create("m1", **changes)

    assert answer.status_code == 400
    assert culprit in answer.json()["msg"]
    assert crm.sim.records() == []


@pytest.mark.parametrize(
    "body", [{"crm_column": 159}, {"status": "won"}, {"user": 21}, {"title": ""}, {"extra": 1}, [], None]
)
async def test_update_says_invalid_request(crm: Integrator, body: Any) -> None:
    """400 with ``error``, naming nothing."""
    opportunity = await crm.created()

    answer = await crm.call("PUT", f"/crmopportunity/{opportunity['id']}", body=body, id=7)

    assert answer.status_code == 400
    assert answer.json() == {"error": "Invalid request"}


async def test_update_under_another_funnel_is_refused(crm: Integrator) -> None:
    """Unless it also moves the opportunity there."""
    opportunity = await crm.created()

    assert (await crm.update(opportunity["id"], funnel=8, title="x")).status_code == 400
    assert (await crm.update(opportunity["id"], funnel=8, crm_column=159)).status_code == 200
    assert (await crm.update(opportunity["id"], funnel=8, title="x")).status_code == 200


async def test_an_unknown_opportunity_is_404(crm: Integrator) -> None:
    """For GET and PUT; knob put_unknown."""
    read, update = await crm.read(1), await crm.update(1, title="x")
    crm.sim.configure(put_unknown=400)

    assert (read.status_code, update.status_code) == (404, 404)
    assert read.json() == update.json() == {"error": "Opportunity not found"}
    assert (await crm.update(1, title="x")).json() == {"error": "Invalid request"}


async def test_by_lead_answers_400_for_a_lead_without_opportunities(crm: Integrator) -> None:
    """So a 400 proves nothing; knob empty_lead."""
    empty, unknown = await crm.by_lead(5), await crm.by_lead(1_000_001)
    crm.sim.configure(empty_lead="empty")

    assert (empty.status_code, empty.json()) == (400, {"error": "Invalid request"})
    assert (unknown.status_code, unknown.json()) == (404, {"msg": "Lead inexistente"})
    assert (await crm.by_lead(5)).json() == []


@pytest.mark.parametrize(
    ("body", "culprit"),
    [
        ({"columnId": 159}, "159"),
        ({"columnId": 130, "fromDate": "2024-01-01"}, "fromDate"),
        ({"columnId": 130, "modifiedSince": 1}, "modifiedSince"),
        ({"columnId": "130"}, "columnId"),
        ({}, "columnId"),
        ({"columnId": 130, "page": -1}, "page"),
        ({"columnId": 130, "limit": 0}, "limit"),
        ({"columnId": 130, "filterByStatus": ["won"]}, "filterByStatus"),
        ({"columnId": 130, "search": 5}, "search"),
    ],
)
async def test_by_column_names_the_culprit(crm: Integrator, body: dict[str, Any], culprit: str) -> None:
    """No date filter exists."""
    answer = await crm.call("POST", "/crm/opportunities/7", body=body)

    assert answer.status_code == 400
    assert culprit in answer.json()["msg"]


async def test_an_unknown_custom_field_is_dropped_silently(crm: Integrator) -> None:
    """Names count to the last space; knob unknown_field."""
    opportunity = await crm.created(fields={"Campo com espaço": "lost", "acao": "lost", "Ação": "kept"})
    crm.sim.configure(unknown_field="400")
    refused = await crm.create(fields={"acao": "x"})

    assert opportunity["fields"] == {"Ação": "kept"}
    assert (refused.status_code, refused.json()["msg"]) == (400, "fields.acao does not exist")


async def test_checks_run_in_order(simulate: Simulate) -> None:
    """Route, instance, token, throttle, body: the earlier one answers."""
    crm = await simulate(throttle="1/60s")

    async def post(**headers: str) -> httpx.Response:
        url = f"{crm.sim.url}/crmopportunity?id=7&i=acme"
        return await crm.http.post(url, content=b"{not json", headers=headers | {"Content-Type": "application/json"})

    assert (await post(apitoken="wrong")).json() == {"msg": "Invalid token."}
    assert (await post(apitoken=TOKENS["acme"])).status_code == 400
    assert "too many requests" in (await post(apitoken=TOKENS["acme"])).json()["msg"]
    assert (await post(apitoken="wrong")).json() == {"msg": "Invalid token."}
