"""Faults of the data: lists that lag or fail, people who interfere, fields that are not there."""

import pytest

from simulator.integrator import Integrator


@pytest.mark.parametrize(("also_get", "status"), [("no", 200), ("yes", 404)])
async def test_lists_can_lag(crm: Integrator, *, also_get: str, status: int) -> None:
    """GET one sees it at once, unless the lag extends to it."""
    crm.sim.add_fault(f"visibility_lag:s=30,times=1,lag_get={also_get}")
    opportunity = await crm.created("m1")

    early = (
        (await crm.by_lead()).status_code,
        await crm.ids_by_column(),
        (await crm.read(opportunity["id"])).status_code,
    )
    crm.sim.advance(30)
    late = [row["id"] for row in (await crm.by_lead()).json()], await crm.ids_by_column()

    assert early == (400, [], status)
    assert late == ([opportunity["id"]], [opportunity["id"]])
    assert (await crm.read(opportunity["id"])).status_code == 200


async def test_a_lag_can_go_with_another_fault(crm: Integrator) -> None:
    """A lost answer and a lagging list at once: lag_s on any rule."""
    crm.sim.add_fault("gateway:commit=yes,lag_s=30,times=1")

    await crm.create("m1")
    early = (await crm.by_lead()).status_code
    crm.sim.advance(30)

    assert early == 400
    assert len((await crm.by_lead()).json()) == 1


async def test_by_lead_can_fail_while_by_column_works(crm: Integrator) -> None:
    """400 even with opportunities, or 5xx."""
    opportunity = await crm.created()
    crm.sim.add_fault("lead_list_400:times=1")
    crm.sim.add_fault("lead_list_down:status=502")

    answers = [await crm.by_lead(), await crm.by_lead()]

    assert [answer.status_code for answer in answers] == [400, 502]
    assert await crm.ids_by_column() == [opportunity["id"]]


async def test_a_person_moves_an_opportunity(crm: Integrator) -> None:
    """To the next column, or to a chosen one; the marker field goes along."""
    crm.sim.add_fault("move_card:s=5,times=1")
    crm.sim.add_fault("move_card:s=5,to=160")
    first, second = await crm.created("m1"), await crm.created("m2")
    crm.sim.advance(5)

    assert await crm.ids_by_column() == []
    assert await crm.ids_by_column(131) == [first["id"]]
    moved = (await crm.read(second["id"])).json()
    assert (moved["crm_column"], moved["fields"]["oppsync"]) == (160, "m2")
    assert moved["last_column_change"] == "2026-01-05T12:00:05.000Z"


async def test_a_person_archives_an_opportunity(crm: Integrator) -> None:
    """Gone from by-lead and by-column, found again with onlyArchived."""
    crm.sim.add_fault("archive_card:s=5")
    opportunity = await crm.created()
    crm.sim.advance(5)

    assert (await crm.by_lead()).status_code == 400
    assert await crm.ids_by_column() == []
    assert await crm.ids_by_column(onlyArchived=True) == [opportunity["id"]]
    crm.sim.configure(lead_list_archived=True)
    assert (await crm.by_lead()).json()[0]["archived"] == 1


async def test_a_person_edits_the_title(crm: Integrator) -> None:
    """A title marker is lost; the witness still knows whose it was."""
    crm.sim.add_fault("edit_title:s=5,to=Big deal")
    opportunity = await crm.created(title="A sale [m1]")
    crm.sim.advance(5)

    assert (await crm.read(opportunity["id"])).json()["title"] == "Big deal"
    assert crm.sim.records()[0]["marker"] == "m1"


async def test_pages_shift_while_listing(crm: Integrator) -> None:
    """An opportunity stands on two pages, or on none."""
    ids = [(await crm.created())["id"] for _ in range(6)][::-1]
    crm.sim.add_fault("page_shift:kind=repeat,times=1")
    crm.sim.add_fault("page_shift:kind=slip,times=1")

    first = await crm.ids_by_column(page=0, limit=2)
    repeated = await crm.ids_by_column(page=1, limit=2)
    slipped = await crm.ids_by_column(page=1, limit=2)
    after = await crm.ids_by_column(page=1, limit=2)

    assert first == ids[:2]
    assert (repeated, slipped, after) == (ids[1:3], ids[3:5], ids[2:4])


async def test_an_update_between_two_pages_shifts_them_without_any_fault(crm: Integrator) -> None:
    """The order is that of the last update."""
    ids = [(await crm.created())["id"] for _ in range(4)][::-1]
    first = await crm.ids_by_column(page=0, limit=2)
    await crm.update(ids[3], title="touched")

    second = await crm.ids_by_column(page=1, limit=2)

    assert (first, second) == (ids[:2], ids[1:3])


async def test_the_marker_field_can_be_missing(crm: Integrator) -> None:
    """Dropped with a success status, absent from every read; the title is still echoed."""
    crm.sim.add_fault("marker_field_missing")

    opportunity = await crm.created("m1", title="A sale [m1]", fields={"oppsync": "m1", "CPF": "1"})

    assert opportunity["fields"] == {"CPF": "1"}
    assert "oppsync" not in (await crm.read(opportunity["id"])).json()["fields"]
    assert "oppsync" not in (await crm.by_lead()).json()[0]["fields"]
    assert opportunity["title"] == "A sale [m1]"
    assert crm.figures()["created"] == 1


async def test_a_move_can_await_approval(crm: Integrator) -> None:
    """PUT 200, the column unchanged."""
    opportunity = await crm.created()
    crm.sim.add_fault("await_approval:times=1")

    held = (await crm.update(opportunity["id"], crm_column=131)).json()["data"]
    moved = (await crm.update(opportunity["id"], crm_column=131)).json()["data"]

    assert (held["crm_column"], held["await_column_approved"]) == (130, 131)
    assert (moved["crm_column"], moved["await_column_approved"]) == (131, None)
