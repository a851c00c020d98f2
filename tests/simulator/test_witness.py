"""Counters, journal and records: what an acceptance test reads."""

import pytest

from oppsync_ops.simulator import Filter
from simulator.integrator import Eventually, Integrator, Simulate


async def test_counters_per_instance(simulate: Simulate) -> None:
    """Received, committed, answered, per status, throttled, peaks."""
    acme = await simulate(throttle="3/30s")
    globex = Integrator(acme.sim, acme.http, "globex")
    await acme.created("a")
    await acme.by_lead(1)
    await acme.by_column()
    await acme.by_column()
    await globex.created("b")

    figures = acme.figures()

    assert (figures["received"], figures["committed"], figures["answered"], figures["throttled"]) == (4, 1, 4, 1)
    assert figures["by_status"] == {"200": 2, "400": 1, "401": 1}
    assert globex.figures()["received"] == 1


async def test_peaks_are_over_any_30_and_60_seconds(crm: Integrator) -> None:
    """Rolling, not aligned."""
    for pause_s in (20, 5, 4, 20, 31, 0):
        await crm.by_column()
        crm.sim.advance(pause_s)

    figures = crm.figures()

    assert (figures["peak_calls_30s"], figures["peak_calls_60s"]) == (4, 5)


async def test_counts_by_marker(crm: Integrator) -> None:
    """POSTs received, opportunities created, PUTs applied, first and last time."""
    first = await crm.created("m1")
    crm.sim.advance(5)
    await crm.create("m1", title=None)
    await crm.update(first["id"], fields={"oppsync": "m1"}, value=3)
    await crm.created(title="By suffix [m2]")
    await crm.created()

    figures = crm.figures()

    start = 1_767_614_400.0
    assert figures["markers"]["m1"] == {
        "posts_received": 2,
        "opportunities_created": 1,
        "puts_received": 1,
        "puts_applied": 1,
        "first_at": start,
        "last_at": start + 5,
    }
    assert (figures["created"], figures["duplicates"], figures["unmarked"]) == (2, 0, 1)
    assert set(figures["markers"]) == {"m1", "m2"}


async def test_expected_markers_without_an_opportunity_are_missing(crm: Integrator) -> None:
    """Duplicates count every opportunity beyond the first."""
    crm.sim.expect("acme", ["a", "b", "c"])
    for marker in ("a", "a", "a", "b"):
        await crm.created(marker)

    figures = crm.figures()

    assert (figures["missing"], figures["missing_markers"], figures["expected"]) == (1, ["c"], 3)
    assert (figures["duplicates"], figures["duplicated_markers"]) == (2, {"a": 3})


async def test_the_journal_has_a_row_per_request_and_no_secret(crm: Integrator) -> None:
    """No query, no header, no lead data."""
    await crm.call("GET", "/crm", apitoken="acme-token-1234")
    opportunity = await crm.created("m1")
    crm.sim.advance(1)
    await crm.update(opportunity["id"], title="x", fields={"oppsync": "m1"})
    await crm.call("GET", "/nowhere")

    rows = crm.sim.journal(Filter(kind="request"))

    shown = [(row["ordinal"], row["instance"], row["method"], row["path"], row["status"]) for row in rows]
    assert shown == [
        (1, "acme", "GET", "/crm", 200),
        (2, "acme", "POST", "/crmopportunity", 200),
        (3, "acme", "PUT", f"/crmopportunity/{opportunity['id']}", 200),
        (4, "", "GET", "/nowhere", 404),
    ]
    assert [row["marker"] for row in rows] == [None, "m1", "m1", None]
    assert [row["committed"] for row in rows] == [False, True, True, False]
    assert rows[2]["at"] - rows[1]["at"] == 1
    assert "acme-token-1234" not in str(crm.sim.journal())
    assert "example.com" not in str(crm.sim.journal())
    assert len(crm.sim.journal(Filter(marker="m1", after=2))) == 1


async def test_the_journal_is_a_ring(simulate: Simulate) -> None:
    """Knob journal_size."""
    crm = await simulate(journal_size=3)
    for _ in range(5):
        await crm.by_column()

    assert [row["ordinal"] for row in crm.sim.journal()] == [3, 4, 5]
    assert crm.sim.simulation.journal.dropped == 2
    crm.sim.configure(journal_size=1)
    assert [row["ordinal"] for row in crm.sim.journal()] == [5]


async def test_records_carry_the_applied_updates_in_order(crm: Integrator) -> None:
    """Keys and values as sent, so that an auditor can check the final values and the order."""
    opportunity = await crm.created("m1")
    await crm.update(opportunity["id"], value="10.5", fields={"CPF": "1"})
    await crm.update(opportunity["id"], crm_column=131)
    await crm.update(opportunity["id"], status="won")

    (record,) = crm.sim.records("acme")

    assert [update["changes"] for update in record["updates"]] == [
        {"value": "10.5", "fields": {"CPF": "1"}},
        {"crm_column": 131},
    ]
    assert record | {"updates": []} == {
        "id": opportunity["id"],
        "instance": "acme",
        "funnel_id": 7,
        "crm_column": 131,
        "lead_id": 8473,
        "title": "A sale",
        "value": "10.50",
        "status": "open",
        "user": 156,
        "sequence": 0,
        "fields": {"oppsync": "m1", "CPF": "1"},
        "marker": "m1",
        "archived": False,
        "await_column_approved": None,
        "createDate": "2026-01-05T12:00:00.000Z",
        "updateDate": "2026-01-05T12:00:00.000Z",
        "updates": [],
    }
    assert crm.sim.records("globex") == []


async def test_open_connections_are_counted(crm: Integrator, eventually: Eventually) -> None:
    """Now, at the most, and all."""
    await crm.by_column()
    counted = crm.sim.counters()["connections"]
    await crm.http.aclose()
    await eventually(lambda: crm.sim.counters()["connections"]["open"] == 0)

    assert (counted["open"], counted["peak"], counted["total"]) == (1, 1, 1)


@pytest.mark.parametrize("marker", ["with ção", "x" * 500, "🎉", "[nested"])
async def test_any_text_can_be_a_marker(crm: Integrator, marker: str) -> None:
    """It is counted as it was sent."""
    await crm.created(marker)

    assert list(crm.figures()["markers"]) == [marker]
