"""Requests nobody should send. They are answered, and nothing breaks."""

import asyncio
import json

import httpx
import pytest

from simulator.integrator import TOKENS, Integrator, Simulate

JSON = {"apitoken": TOKENS["acme"], "Content-Type": "application/json"}


async def _post(crm: Integrator, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    url = f"{crm.sim.url}/crmopportunity?id=7&i=acme"
    return await crm.http.post(url, content=content, headers=JSON if headers is None else headers)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"title": "\\ud800", "crm_column": 130, "lead_id": 1, "sequence": 0, "fields": {"\\ud800": 1}, "x": 1}',
        b'{"title": NaN}',
        b'{"value": 1e999, "title": "t", "crm_column": 130, "lead_id": 1, "sequence": 0}',
        b'{"title": "t", "crm_column": 1e400, "lead_id": {}, "sequence": []}',
        b'{"title": "t", "crm_column": 130, "lead_id": ' + b"9" * 4000 + b', "sequence": 0}',
        b'{"title": "t", "crm_column": 130, "lead_id": 1, "sequence": "' + b"9" * 4000 + b'"}',
    ],
)
async def test_bodies_that_are_no_body(crm: Integrator, content: bytes) -> None:
    """400, nothing created."""
    answer = await _post(crm, content)

    assert answer.status_code == 400
    assert "msg" in answer.json()
    assert crm.sim.records() == []


async def test_half_a_surrogate_in_a_title_survives(crm: Integrator) -> None:
    """A text that cannot be encoded must not break the answer."""
    body = b'{"title": "\\ud800 t", "crm_column": 130, "lead_id": 1, "sequence": 0, "fields": {"CPF": "\\udfff"}}'

    assert (await _post(crm, body)).json()["title"] == "? t"
    assert (await crm.by_column()).json()[0]["fields"]["CPF"] == "?"
    assert (await crm.http.get(f"{crm.sim.url}/__sim/records")).json()["records"][0]["title"] == "? t"
    assert (await _post(crm, b'{"\\ud800": 1}')).json() == {"msg": "property ? should not exist"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_does_not_say_it_is_json(crm: Integrator, content_type: str) -> None:
    """It is not read as JSON."""
    body = json.dumps({"title": "t", "crm_column": 130, "lead_id": 1, "sequence": 0}).encode()

    assert (await _post(crm, body, JSON | {"Content-Type": content_type})).status_code == 400


async def test_a_huge_body_is_refused(simulate: Simulate) -> None:
    """With a length or in chunks; the connection ends, the simulator does not."""
    crm = await simulate(max_body_bytes=10_000)

    async def chunks():  # type: ignore[no-untyped-def]  # noqa: ANN202 - httpx takes any iterable of bytes
        for _ in range(50):
            yield b"x" * 1000

    whole = await _post(crm, b"x" * 50_000)
    chunked = await crm.http.post(f"{crm.sim.url}/crmopportunity?id=7&i=acme", content=chunks(), headers=JSON)

    assert (whole.status_code, chunked.status_code) == (413, 413)
    assert (await crm.create()).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "DELETE"])
async def test_methods_nobody_knows(crm: Integrator, method: str) -> None:
    """A plain 404, and the connection goes on."""
    for _ in range(2):
        answer = await crm.call(method, "/crmopportunity")
        assert answer.status_code == 404

    assert crm.sim.counters()["connections"]["total"] == 1


@pytest.mark.parametrize(
    "target",
    [
        "/crmopportunity/99999999999999999999999999",
        "/crmopportunity/-1",
        "/crmopportunity/%31",
        "/crmopportunity/²",
        "/%00",
        "/crmopportunity?id=7&i=acme&i=globex&id=",
        "//crm",
        "/listopportunitysleadcomplete/0",
        "/?" + "a=b&" * 1000,
    ],
)
async def test_targets_nobody_has(crm: Integrator, target: str) -> None:
    """Answered, whatever the answer."""
    answer = await crm.http.get(f"{crm.sim.url}{target}", headers=JSON)

    assert answer.status_code in {400, 401, 404}


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /crmopportunity?i=acme&id=7 HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        b"POST /crmopportunity HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /crm HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
        b"",
    ],
)
async def test_bytes_that_are_not_http(crm: Integrator, sent: bytes) -> None:
    """The next client is served."""
    port = int(crm.sim.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    try:
        async with asyncio.timeout(2):
            await reader.read()
    except ConnectionResetError:
        pass
    finally:
        writer.close()

    assert (await crm.create()).status_code == 200


async def test_old_clients_and_closing_clients_are_served(crm: Integrator) -> None:
    """HTTP/1.0 and Connection: close end the connection; pipelined calls are answered in order."""
    port = int(crm.sim.url.rsplit(":", 1)[1])

    async def exchange(text: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text.encode())
        answer = await reader.read()
        writer.close()
        return answer

    old = await exchange("GET /crm?i=acme HTTP/1.0\r\napitoken: acme-token-1234\r\n\r\n")
    pipelined = await exchange(
        "GET /crm?i=acme HTTP/1.1\r\nHost: x\r\napitoken: acme-token-1234\r\n\r\n"
        "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    assert old.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in old
    assert pipelined.index(b"200 OK") < pipelined.index(b"404 Not Found")


async def test_an_accident_inside_is_a_counted_500(simulate: Simulate) -> None:
    """And the only thing internal_errors counts."""
    crm = await simulate()
    crm.sim.simulation.instances["acme"].funnel_of.clear()
    crm.sim.simulation.instances["acme"].funnel_of[130] = 7
    crm.sim.simulation.instances["acme"].by_column.clear()

    answer = await crm.create()

    assert (answer.status_code, answer.json()["msg"]) == (500, "Internal error in the simulator")
    assert crm.sim.counters()["internal_errors"] == 1
    crm.sim.reset()
    assert (await crm.create()).status_code == 200
