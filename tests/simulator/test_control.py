"""The control endpoints: outside authentication, throttle, counters and journal."""

from typing import Any

import httpx
import pytest

from simulator.integrator import Integrator, Simulate


async def _ask(crm: Integrator, method: str, path: str, **kwargs: Any) -> httpx.Response:
    return await crm.http.request(method, f"{crm.sim.url}/__sim/{path}", **kwargs)


async def test_health(crm: Integrator) -> None:
    """Without any header; nothing of it is counted."""
    answer = await _ask(crm, "GET", "health")

    assert answer.json() == {"status": "ok", "listening": True, "instances": ["acme", "globex"]}
    assert crm.sim.journal() == []
    assert crm.sim.counters()["unrouted"] == 0


async def test_knobs_are_read_and_turned(crm: Integrator) -> None:
    """All of them or none."""
    before = (await _ask(crm, "GET", "config")).json()

    turned = (await _ask(crm, "PATCH", "config", json={"throttle": "1/60s", "retry_after": "on"})).json()
    refused = await _ask(crm, "PATCH", "config", json={"latency_ms": 5, "bearer": "maybe"})
    unknown = await _ask(crm, "PATCH", "config", json={"colour": "red"})
    fixed = await _ask(crm, "PATCH", "config", json={"seed": 2})

    assert turned == before | {"throttle": "1/60s", "retry_after": True}
    assert (refused.status_code, unknown.status_code, fixed.status_code) == (400, 400, 400)
    assert "bearer" in refused.json()["error"]
    assert "colour" in unknown.json()["error"]
    assert (await _ask(crm, "GET", "config")).json() == turned
    assert [(await crm.by_column()).status_code for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    ("knob", "bad"),
    [
        ("throttle", 5),
        ("latency_ms", "slow"),
        ("latency_ms", True),
        ("journal_size", 1.5),
        ("retry_after", "perhaps"),
        ("unknown_leads", 7),
        ("unknown_leads", ["x"]),
        ("invalid_token_text", ["x"]),
    ],
)
async def test_a_knob_of_the_wrong_type_is_refused_by_name(crm: Integrator, knob: str, bad: Any) -> None:
    """400 and the reason."""
    answer = await _ask(crm, "PATCH", "config", json={knob: bad})

    assert answer.status_code == 400
    assert "throttle" in answer.json()["error"] if knob == "throttle" else knob in answer.json()["error"]


async def test_faults_are_added_shown_and_removed(crm: Integrator) -> None:
    """As specifications or objects, one or several."""
    rules = ["slow:ms=0,method=POST", {"action": "gateway", "p": 0.5}]
    added = (await _ask(crm, "POST", "faults", json=rules)).json()
    one = (await _ask(crm, "POST", "faults", json="http:status=500")).json()
    bad = await _ask(crm, "POST", "faults", json=["http:status=500", "explode"])
    shown = (await _ask(crm, "GET", "faults")).json()["faults"]
    gone = (await _ask(crm, "DELETE", "faults", params={"id": "gateway#2"})).json()

    assert added == {"added": ["slow#1", "gateway#2"]}
    assert one == {"added": ["http#3"]}
    assert (bad.status_code, "explode" in bad.json()["error"]) == (400, True)
    assert [rule["id"] for rule in shown] == ["slow#1", "gateway#2", "http#3"]
    assert shown[1] == {"id": "gateway#2", "action": "gateway", "status": 502, "commit": "no", "p": 0.5} | {
        "matched": 0,
        "struck": 0,
    }
    assert gone == {"removed": 1}
    assert (await _ask(crm, "DELETE", "faults")).json() == {"removed": 2}


async def test_counters_over_http(crm: Integrator) -> None:
    """Per instance, markers on request, expected markers given."""
    await crm.created("m1")
    expected = await _ask(crm, "POST", "expected", json={"instance": "acme", "markers": ["m1", "m2"]})

    plain = (await _ask(crm, "GET", "counters")).json()
    detailed = (await _ask(crm, "GET", "counters", params={"by_marker": "1", "instance": "acme"})).json()

    assert expected.json() == {"expected": 2}
    assert plain["instances"]["acme"]["missing_markers"] == ["m2"]
    assert "markers" not in plain["instances"]["acme"]
    assert detailed["instances"]["acme"]["markers"]["m1"]["opportunities_created"] == 1


async def test_long_lists_are_streamed_whole(simulate: Simulate) -> None:
    """Records and journal: parts by offset and limit, with the total."""
    crm = await simulate()
    for number in range(12):
        await crm.created(f"m{number}", crm_column=132)

    whole = (await _ask(crm, "GET", "records", params={"instance": "acme"})).json()
    part = (await _ask(crm, "GET", "records", params={"offset": "10", "limit": "5"})).json()
    none = (await _ask(crm, "GET", "records", params={"instance": "nobody"})).json()
    marked = (await _ask(crm, "GET", "records", params={"marker": "m3"})).json()
    journal = (await _ask(crm, "GET", "journal", params={"marker": "m3"})).json()

    assert whole["total"] == len(whole["records"]) == 12
    assert whole["records"] == crm.sim.records()
    assert ([record["marker"] for record in part["records"]], part["total"]) == (["m10", "m11"], 12)
    assert none == {"records": [], "total": 0}
    assert [record["marker"] for record in marked["records"]] == ["m3"]
    assert [row["path"] for row in journal["rows"]] == ["/crmopportunity"]


async def test_more_records_than_fit_one_chunk(crm: Integrator) -> None:
    """The pieces make one JSON document."""
    instance = crm.sim.simulation.instances["acme"]
    opportunity = await crm.created("m0")
    template = instance.opportunities[opportunity["id"]]
    for _ in range(1000):
        instance.opportunities[instance.take_id()] = template

    answer = (await _ask(crm, "GET", "records")).json()

    assert len(answer["records"]) == answer["total"] == 1001


async def test_instances_are_declared(crm: Integrator) -> None:
    """What is left out comes from the default seed; the token is never shown."""
    declared = {
        "name": "initech",
        "token": "initech-token",
        "marker_field": "Reference",
        "fields": ["Reference", " Odd "],
        "funnels": [{"id": 3, "name": "Only", "columns": [30, {"id": 31, "name": "End", "needs_approval": True}]}],
        "throttle": "10/60s",
    }

    answer = await _ask(crm, "POST", "instances", json=declared)
    shown = (await _ask(crm, "GET", "instances")).text
    crm.instance, crm.headers = "initech", {"apitoken": "initech-token"}
    created = await crm.created(funnel=3, crm_column=30, fields={"Reference": "r-1", "oppsync": "dropped"})

    assert answer.status_code == 200
    assert answer.json()["users"][-1] == 156
    assert "initech-token" not in answer.text + shown
    assert created["fields"] == {"Reference": "r-1"}
    assert crm.figures()["markers"]["r-1"]["opportunities_created"] == 1


@pytest.mark.parametrize(
    ("declared", "culprit"),
    [
        ({"token": "t"}, "name"),
        ({"name": "x"}, "token"),
        ({"name": "x", "token": "t", "colour": 1}, "colour"),
        ({"name": "x", "token": "t", "funnels": [{"columns": []}]}, "funnel id"),
        ({"name": "x", "token": "t", "funnels": [{"id": 1, "columns": ["a"]}]}, "column"),
        ({"name": "x", "token": "t", "funnels": [{"id": 1, "columns": [5]}, {"id": 2, "columns": [5]}]}, "one funnel"),
        ({"name": "x", "token": "t", "throttle": "fast"}, "throttle"),
        ({"name": "x", "token": "t", "users": [0]}, "users"),
        ({"name": "x", "token": "t", "fields": "CPF"}, "fields"),
    ],
)
async def test_a_bad_declaration_is_refused_by_name(crm: Integrator, declared: dict[str, Any], culprit: str) -> None:
    """Nothing is declared."""
    answer = await _ask(crm, "POST", "instances", json=declared)

    assert answer.status_code == 400
    assert culprit in answer.json()["error"]
    assert set(crm.sim.simulation.instances) == {"acme", "globex"}


async def test_time_is_moved_over_http(crm: Integrator) -> None:
    """A stepped clock only."""
    before = (await _ask(crm, "GET", "clock")).json()
    after = (await _ask(crm, "POST", "clock", json={"advance_s": 1.5})).json()
    bad = await _ask(crm, "POST", "clock", json={"advance_s": "soon"})

    assert (after["now"] - before["now"], after["stepped"], after["sleeping"]) == (1.5, True, 0)
    assert bad.status_code == 400


@pytest.mark.parametrize("outage", ["refuse", "restart"])
async def test_an_outage_leaves_control_connections_open(crm: Integrator, outage: str) -> None:
    """So that whoever steps the clock can end it."""
    transport = httpx.AsyncHTTPTransport(verify=False)
    async with httpx.AsyncClient(transport=transport) as control:
        url = f"{crm.sim.url}/__sim/"
        await control.post(f"{url}{outage}", json={"s": 60})
        during = (await control.get(f"{url}health")).json()
        with pytest.raises(httpx.ConnectError):
            await crm.by_column()
        await control.post(f"{url}clock", json={"advance_s": 60})
        after = (await control.get(f"{url}health")).json()

    assert (during["listening"], after["listening"]) == (False, True)


async def test_reset_over_http(crm: Integrator) -> None:
    """With another seed, if one is given."""
    await crm.created()

    assert (await _ask(crm, "POST", "reset")).json() == {"status": "reset", "seed": 1}
    assert crm.sim.records() == []
    assert (await _ask(crm, "POST", "reset", json={"seed": 5})).json()["seed"] == 5
    assert (await _ask(crm, "POST", "reset", json={"seed": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "nothing", b"", 404),
        ("DELETE", "config", b"", 404),
        ("POST", "faults", b"{not json", 400),
        ("POST", "faults", b"5", 400),
        ("PATCH", "config", b"[]", 400),
        ("POST", "expected", b"{}", 400),
        ("POST", "instances", b'"x"', 400),
        ("GET", "records?limit=x", b"", 400),
        ("POST", "refuse", b"{}", 400),
        ("POST", "faults", b"[" * 100_000, 400),
    ],
)
async def test_control_requests_that_make_no_sense(
    crm: Integrator, *, method: str, path: str, content: bytes, status: int
) -> None:
    """An answer with the reason, never an accident."""
    answer = await _ask(crm, method, path, content=content)

    assert answer.status_code == status
    assert answer.json()["error"]
