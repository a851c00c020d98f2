"""The paths, query names and happy answers of the CRM."""

from typing import Any

import pytest

from integration.crm.loopback import Wire, serving
from simulator.integrator import Eventually, Integrator, Simulate

CREATE_KEYS = [
    "id",
    "title",
    "value",
    "crm_column",
    "lead_id",
    "sequence",
    "status",
    "loss_reason",
    "gain_reason",
    "expectedCloseDate",
    "sale_channel",
    "campaign",
    "user",
    "last_column_change",
    "last_status_change",
    "gain_date",
    "lost_date",
    "reopen_date",
    "await_column_approved",
    "await_column_approved_user",
    "reject_appro",
    "reject_appro_desc",
    "createDate",
    "updateDate",
    "sprint_permission",
    "sprint_permission_user",
    "sprint_permission_department",
    "sprint_permission_users",
    "sprint_permission_users_select",
    "sprint_permission_departments",
    "sprint_permission_departments_select",
    "dataLead",
    "dataCompany",
    "dataCompanyExtra",
    "fields",
    "files",
    "filesData",
]
LEAD_KEYS = [
    "_id",
    "id",
    "address",
    "canal_de_aquisicao",
    "channelRestrictions",
    "city",
    "company",
    "country",
    "createDate",
    "createdBy",
    "createdByName",
    "email",
    "firstname",
    "instancedomain",
    "ips",
    "lastActive",
    "lastname",
    "link_instancia",
    "mobile",
    "owner",
    "phone",
    "photoUrl",
    "points",
    "preferred_locale",
    "senha_inicial",
    "stage",
    "state",
    "timezone",
    "updatedBy",
    "updatedByName",
    "updatedDate",
    "utmTags",
    "whatsapp",
    "zipcode",
    "cargo",
    "departamento",
    "departmentAccess",
    "ignoreSubDepartments",
    "instance_active",
    "lead_online",
    "partner_instance",
    "userAccess",
    "createdByType",
]


async def test_create_answers_the_documented_keys_in_the_documented_order(crm: Integrator) -> None:
    """Status 200, flat, no funnel id."""
    answer = await crm.create("m1")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(answer.json()) == CREATE_KEYS
    assert list(answer.json()["dataLead"]) == LEAD_KEYS


async def test_create_echoes_what_was_sent(crm: Integrator) -> None:
    """Value and sequence come back as numbers whatever they were sent as."""
    answer = await crm.created("m1", value="213.20", sequence="", expectedCloseDate="2024-03-21T21:27:00.000Z")

    assert answer["id"] > 0
    assert (answer["value"], answer["sequence"], answer["user"]) == (213.2, 0, 156)
    assert (answer["crm_column"], answer["lead_id"], answer["status"]) == (130, 8473, "open")
    assert answer["expectedCloseDate"] == "2024-03-21T21:27:00.000Z"


async def test_the_company_is_repeated_in_an_array_without_its_inner_id(crm: Integrator) -> None:
    """The key dataCompanyExtra is an array of the same company without ``_id``."""
    answer = await crm.created(lead_id=8473)

    company = answer["dataCompany"]
    assert answer["dataCompanyExtra"] == [{key: value for key, value in company.items() if key != "_id"}]
    assert answer["dataLead"]["company"] == company["id"]


async def test_some_leads_have_no_company(crm: Integrator) -> None:
    """The keys stay, empty."""
    answers = [await crm.created(lead_id=lead) for lead in range(1, 41)]

    without = [answer for answer in answers if answer["dataLead"]["company"] is None]
    assert without
    assert all(one["dataCompany"] is None and one["dataCompanyExtra"] == [] for one in without)


async def test_lead_documents_are_synthetic(crm: Integrator) -> None:
    """Reserved domains, an area code nobody has, documentation addresses."""
    lead = (await crm.created())["dataLead"]

    assert lead["email"] == "lead-8473@example.com"
    assert lead["whatsapp"].startswith("+5500")
    assert {ip.rsplit(".", 1)[0] for ip in lead["ips"]} == {"192.0.2", "198.51.100", "203.0.113"}


async def test_two_identical_posts_make_two_opportunities(crm: Integrator) -> None:
    """Nothing in a request makes them one, an idempotency key least of all."""
    crm.headers["Idempotency-Key"] = "the-same"

    first, second = await crm.created("m1"), await crm.created("m1")

    assert second["id"] == first["id"] + 1
    assert crm.figures()["duplicates"] == 1


async def test_update_answers_a_message_and_the_whole_opportunity(crm: Integrator) -> None:
    """The envelope differs from create's."""
    opportunity = await crm.created("m1", fields={"oppsync": "m1", "CPF": "x"})

    answer = await crm.update(opportunity["id"], value=99, fields={"Origem": "site"})

    assert answer.status_code == 200
    assert answer.json()["msg"] == "The opportunity has been updated."
    data = answer.json()["data"]
    assert list(data) == CREATE_KEYS
    assert (data["value"], data["title"]) == (99, "A sale")
    assert data["fields"] == {"oppsync": "m1", "CPF": "x", "Origem": "site"}


async def test_put_can_replace_the_custom_fields(simulate: Simulate) -> None:
    """Knob put_fields."""
    crm = await simulate(put_fields="replace")
    opportunity = await crm.created("m1")

    answer = await crm.update(opportunity["id"], fields={"Origem": "site"})

    assert answer.json()["data"]["fields"] == {"Origem": "site"}


async def test_moving_and_closing_an_opportunity_dates_the_change(crm: Integrator) -> None:
    """last_column_change, gain_date and reopen_date appear when they happen."""
    opportunity = await crm.created()
    crm.sim.advance(60)

    moved = (await crm.update(opportunity["id"], crm_column=131, status="gain")).json()["data"]
    crm.sim.advance(60)
    reopened = (await crm.update(opportunity["id"], status="open", lead_id=9)).json()["data"]

    assert opportunity["last_column_change"] is None
    assert moved["last_column_change"] == moved["gain_date"] == "2026-01-05T12:01:00.000Z"
    assert reopened["reopen_date"] == reopened["updateDate"] == "2026-01-05T12:02:00.000Z"
    assert [row["id"] for row in (await crm.by_lead(9)).json()] == [opportunity["id"]]


async def test_a_column_that_needs_approval_keeps_the_opportunity_waiting(crm: Integrator) -> None:
    """A 200 may leave it where it was."""
    body = {
        "name": "strict",
        "token": "t-1",
        "funnels": [{"id": 7, "columns": [130, {"id": 131, "needs_approval": True}]}],
    }
    await crm.http.post(f"{crm.sim.url}/__sim/instances", json=body)
    crm.instance, crm.headers = "strict", {"apitoken": "t-1"}
    opportunity = await crm.created()

    data = (await crm.update(opportunity["id"], crm_column=131, title="new")).json()["data"]

    assert (data["crm_column"], data["await_column_approved"], data["title"]) == (130, 131, "new")


async def test_lists_find_what_was_created(crm: Integrator) -> None:
    """By lead in one bare array, by column in pages from 0."""
    ids = [(await crm.created(lead_id=5))["id"] for _ in range(5)]
    await crm.created(lead_id=6, crm_column=131)

    pages = [await crm.ids_by_column(page=page, limit=2) for page in range(4)]

    assert [row["id"] for row in (await crm.by_lead(5)).json()] == ids[::-1]
    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1], []]


async def test_the_full_body_of_the_web_client_is_understood(crm: Integrator) -> None:
    """Filters by status, user and title."""
    mine = await crm.created(title="Contract [m-7]", status="gain", user=3)
    await crm.created(title="Other")
    asked: dict[str, Any] = {
        "filterByUsers": [3],
        "filterByStatus": ["open", "gain", "lost"],
        "filterByExpectedCloseDate": None,
        "filters": [],
        "search": "M-7",
        "page": 0,
        "limit": 100,
        "onlyArchived": False,
        "searchBy": "opportunity",
    }

    assert await crm.ids_by_column(**asked) == [mine["id"]]
    assert await crm.ids_by_column(**asked | {"filterByStatus": ["lost"]}) == []
    assert await crm.ids_by_column(**asked | {"filterByUsers": [4]}) == []
    assert await crm.ids_by_column(**asked | {"search": "nothing"}) == []


@pytest.mark.parametrize(("setting", "finds"), [("title", False), ("title_and_fields", True), ("nothing", False)])
async def test_what_search_looks_at_is_a_knob(simulate: Simulate, setting: str, finds: bool) -> None:  # noqa: FBT001
    """Its real semantics are unproven."""
    crm = await simulate(search_matches=setting)
    opportunity = await crm.created("order-9")

    assert await crm.ids_by_column(search="order-9") == ([opportunity["id"]] if finds else [])


async def test_the_catalogue_is_served(crm: Integrator) -> None:
    """Funnels, columns with totals, users, loss reasons, departments."""
    await crm.created(value="10.25")
    await crm.created(value=1)

    funnels = (await crm.call("GET", "/crm")).json()
    columns = (await crm.call("GET", "/crmfastloadv2/7")).json()
    users = (await crm.call("GET", "/user")).json()
    unblocked = (await crm.call("GET", "/user", noblock=1)).json()

    assert funnels == [{"id": 7, "name": "Vendas"}, {"id": 8, "name": "Pós-venda"}]
    assert columns[0] == {"id": 130, "name": "Novo", "sequence": 0, "crm": 7, "total": 2, "totalValue": "11.25"}
    assert [column["id"] for column in columns] == [130, 131, 132]
    assert {user["id"] for user in users} - {user["id"] for user in unblocked} == {20}
    assert {"id", "name", "lastName", "email", "username"} <= set(users[0])
    assert (await crm.call("GET", "/crmlossreason")).json()[0]["id"] == 1
    assert (await crm.call("GET", "/departament")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/opportunity"),
        ("GET", "/users"),
        ("GET", "/"),
        ("DELETE", "/crmopportunity/1"),
        ("GET", "/crmopportunity"),
        ("PATCH", "/crmopportunity/1"),
        ("GET", "/crmopportunity/abc"),
        ("GET", "/crmfastloadv2"),
    ],
)
async def test_everything_else_is_a_plain_404(crm: Integrator, method: str, path: str) -> None:
    """Wrong methods included."""
    answer = await crm.call(method, path)

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")


async def test_entering_a_column_runs_its_automation(crm: Integrator, eventually: Eventually) -> None:
    """A journal row per entry, and the call of a URL where one is configured."""
    called: list[bytes] = []

    async def hear(wire: Wire) -> None:
        called.append(await wire.request())
        await wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(hear) as listener:
        column = {"id": 131, "automation": "second message", "automation_url": f"{listener.url}/hook"}
        body = {"name": "loud", "token": "t-1", "funnels": [{"id": 7, "columns": [130, column]}]}
        await crm.http.post(f"{crm.sim.url}/__sim/instances", json=body)
        crm.instance, crm.headers = "loud", {"apitoken": "t-1"}
        opportunity = await crm.created(user=1)

        await crm.update(opportunity["id"], crm_column=131)
        await eventually(lambda: bool(called))

    rows = [row for row in crm.sim.journal() if row["kind"] == "automation"]
    assert [row["automation"] for row in rows] == ["second message"]
    assert b'"automation": "second message"' in called[0]
