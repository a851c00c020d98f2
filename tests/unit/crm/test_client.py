"""The request as it goes out, and that nothing but an `AttemptError` comes back. No sockets: httpx's own mock."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.crm.transport import QUERY_SECRET
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    NotSent,
    Rejected,
    Throttled,
    Unavailable,
)
from oppsync_worker.instances import InstanceSettings

TOKEN = "0c4e1e26-7a0b-4b8e-9a53-0d4e7b6f1a2c"
CREATE = CreateOpportunity(instance="acme", funnel_id=12, title="Maria Silva", crm_column=159, lead_id=8473)
UPDATE = UpdateOpportunity(instance="acme", funnel_id=12, external_ref="order-1", value="5")
SOUGHT = Sought("Maria Silva", None, None, 159, 8473, "m-1", "oppsync")


def settings(**changes: Any) -> InstanceSettings:
    return InstanceSettings(**{"name": "acme", "token": TOKEN, "base_url": "https://crm.example/api/", **changes})


class Crm:
    """Answers every request alike, and remembers it."""

    def __init__(self, status: int = 200, body: Any = None, **headers: str) -> None:
        self.response = {"status_code": status, "headers": {k.replace("_", "-"): v for k, v in headers.items()}}
        self.body = {"id": 4534} if body is None else body
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return httpx.Response(**self.response, stream=httpx.ByteStream(content))  # type: ignore[arg-type]

    def client(self) -> CrmClient:
        return CrmClient(transport=httpx.MockTransport(self))


async def test_a_create_is_the_documented_post() -> None:
    """Method, path, query, headers and body."""
    crm = Crm()

    async with crm.client() as client:
        record = await client.send(CREATE, settings(marker_field="M"), marker="m-1")

    (request,) = crm.requests
    assert record.opportunity_id == 4534
    assert request.method == "POST"
    assert str(request.url) == "https://crm.example/api/crmopportunity?id=12&i=acme"
    assert json.loads(request.content)["fields"] == {"M": "m-1"}
    headers = dict(request.headers)
    assert headers.pop("user-agent").startswith("opportunity-sync/")
    assert headers == {
        "host": "crm.example",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {TOKEN}",
        "apitoken": TOKEN,
        "content-length": str(len(request.content)),
    }


async def test_a_create_tells_whether_its_marker_landed() -> None:
    """In the field that this instance has for it."""
    marked = settings(marker_field="M")

    for fields, landed in (({"M": "m-1"}, True), ({}, False), (None, None)):
        async with Crm(body={"id": 4534, "fields": fields}).client() as client:
            record = await client.send(CREATE, marked, marker="m-1")
            unmarked = await client.send(CREATE, settings(), marker="m-1")

        assert (record.marker_landed, unmarked.marker_landed) == (landed, None)


async def test_an_update_is_the_documented_put() -> None:
    """The id stands in the path; the funnel stays in the query."""
    crm = Crm(body={"msg": "updated", "data": {"id": 77}})

    async with crm.client() as client:
        record = await client.send(UPDATE, settings(), marker=None, opportunity_id=77)

    (request,) = crm.requests
    assert record.opportunity_id == 77
    assert request.method == "PUT"
    assert str(request.url) == "https://crm.example/api/crmopportunity/77?id=12&i=acme"
    assert request.content == b'{"value":5.00}'


async def test_an_update_without_an_id_is_the_callers_mistake() -> None:
    """Nothing is sent."""
    crm = Crm()

    async with crm.client() as client:
        with pytest.raises(ValueError, match="id of its opportunity"):
            await client.send(UPDATE, settings(), marker=None)

    assert crm.requests == []


async def test_a_create_stays_a_post_whatever_id_is_given() -> None:
    """The job's kind decides."""
    crm = Crm()

    async with crm.client() as client:
        await client.send(CREATE, settings(), marker=None, opportunity_id=5)

    assert crm.requests[0].method == "POST"


async def test_a_separate_bearer_is_sent_beside_the_token() -> None:
    """For instances that have two."""
    crm = Crm()

    async with crm.client() as client:
        await client.send(CREATE, settings(bearer="bear"), marker=None)

    assert crm.requests[0].headers["authorization"] == "Bearer bear"
    assert crm.requests[0].headers["apitoken"] == TOKEN


async def test_a_query_token_is_never_in_the_url_that_httpx_sees() -> None:
    """The transport appends it on the wire; no sign-in header is sent with it."""
    crm = Crm()

    async with crm.client() as client:
        await client.send(CREATE, settings(auth="query", token="a&b"), marker=None)

    (request,) = crm.requests
    assert "apitoken" not in str(request.url)
    assert request.extensions[QUERY_SECRET] == "apitoken=a%26b"
    assert {"authorization", "apitoken"}.isdisjoint(request.headers)


async def test_changed_settings_take_effect_at_once() -> None:
    """A new token is a new settings object under the same name."""
    crm = Crm()

    async with crm.client() as client:
        await client.send(CREATE, settings(), marker=None)
        await client.send(CREATE, settings(token="another"), marker=None)

    assert [request.headers["apitoken"] for request in crm.requests] == [TOKEN, "another"]


@pytest.mark.parametrize("token", ["", " ", "abc\n", "abc def", "tökén"])
async def test_a_token_that_no_header_can_carry_is_a_refused_credential(token: str) -> None:
    """Found before sending, and without repeating it; settings refuse it already, should somebody pass them by."""
    crm = Crm()
    unchecked = settings().model_copy(update={"token": SecretStr(token)})

    async with crm.client() as client:
        with pytest.raises(CredentialRefused) as caught:
            await client.send(CREATE, unchecked, marker=None)

    assert crm.requests == []
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://crm.example:port", "https://[::1"])
async def test_a_bad_address_was_not_sent(base_url: str) -> None:
    """The jobs wait for somebody to mend the settings."""
    crm = Crm()

    async with crm.client() as client:
        with pytest.raises(NotSent):
            await client.send(CREATE, settings(base_url=base_url), marker=None)


async def test_a_closed_client_sends_nothing_and_says_so() -> None:
    """A worker that is stopping."""
    crm = Crm()
    client = crm.client()
    await client.aclose()
    await client.aclose()

    with pytest.raises(NotSent):
        await client.send(CREATE, settings(), marker=None)


@pytest.mark.parametrize(("job", "error"), [(CREATE, AnswerLost), (UPDATE, Unavailable)])
async def test_the_deadline_covers_the_whole_call(job: Any, error: type[AttemptError]) -> None:
    """There is none in httpx; a call that never ends is cut."""

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with CrmClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(error, match="deadline"):
            await client.send(job, settings(connect_seconds=0.005, call_seconds=0.01), marker=None, opportunity_id=1)


async def test_a_cancellation_is_not_an_attempt_error() -> None:
    """A worker that is stopped keeps the job in `sending`, for whoever finds it."""
    started = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with CrmClient(transport=httpx.MockTransport(never)) as client:
        call = asyncio.create_task(client.send(CREATE, settings(), marker=None))
        await started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize("location", ["https://elsewhere.example/", "http://[", "ftp://x", "", "//", "/\x00"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_never_called_not_sent(status: int, location: str) -> None:
    """Also when its address upsets httpx, which reads it even if it does not follow it."""
    crm = Crm(status, b"", location=location)

    async with crm.client() as client:
        with pytest.raises((AnswerLost, Rejected)):
            await client.send(CREATE, settings(), marker=None)

    assert len(crm.requests) == 1


async def test_no_cookie_is_kept() -> None:
    """Two instances share the client."""
    crm = Crm(200, None, set_cookie="session=1; Path=/")

    async with crm.client() as client:
        await client.send(CREATE, settings(), marker=None)
        await client.send(CREATE, settings(), marker=None)

        assert len(client._exchange._http.cookies.jar) == 0
        with pytest.raises(TypeError, match="keeps no cookies"):
            client._exchange._http.cookies = {"session": "1"}  # type: ignore[assignment]
    assert "cookie" not in crm.requests[1].headers


async def test_an_error_drags_no_other_error_along() -> None:
    """Error reporting follows causes and contexts, and their texts are nobody's to have redacted."""

    async def fails(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(f"https://crm.example/?apitoken={TOKEN}")

    for transport in (httpx.MockTransport(fails), httpx.MockTransport(Crm(200, b"no"))):
        async with CrmClient(transport=transport) as client:
            with pytest.raises(AnswerLost) as caught:
                await client.send(CREATE, settings(), marker=None)

        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


LEAD = {
    "firstname": "Mariazinha",
    "email": "mariazinha@example.com",
    "whatsapp": "+55 11 98765-4321",
    "ips": ["187.34.47.12"],
    "senha_inicial": "teste123",
}
PLANTED = [
    TOKEN,
    "Maria Silva",
    *(text for value in LEAD.values() for text in ([value] if isinstance(value, str) else value)),
]
DANGEROUS = f"{TOKEN} {LEAD['email']} {LEAD['whatsapp']} 187.34.47.12 Maria Silva senha: teste123"


@pytest.mark.parametrize("status", [200, 201, 302, 308, 400, 401, 403, 404, 408, 422, 429, 500, 502])
@pytest.mark.parametrize(
    "body",
    [
        {
            "id": 4534,
            "title": "Maria Silva",
            "token": TOKEN,
            "dataLead": LEAD,
            "user": {"id": 1, "name": LEAD["firstname"]},
        },
        {"id": 4534, "lead_id": 1, "dataLead": LEAD, "status": TOKEN, "value": LEAD["whatsapp"]},
        {"msg": DANGEROUS, "dataLead": LEAD},
        {"error": DANGEROUS.upper(), "data": LEAD},
        {"msg": ["too many requests", DANGEROUS], "usage": TOKEN, "limite": LEAD},
        json.dumps({"dataLead": LEAD}).encode()[:-3],
        f"<html><title>{DANGEROUS}</title>{LEAD}</html>".encode(),
        DANGEROUS.encode(),
        DANGEROUS.encode("utf-16"),
        [
            {"id": 4534, "title": "Maria Silva", "fields": {"oppsync": TOKEN, "CPF": LEAD["email"]}, "dataLead": LEAD},
            {"id": 4535, "user": {"id": 1, "name": LEAD["firstname"]}, "createDate": LEAD["whatsapp"], "value": TOKEN},
        ],
        {"data": [{"id": 4534, "status": TOKEN, "lead_id": LEAD, "sequence": DANGEROUS}], "msg": DANGEROUS},
        {"opportunities": [{"id": DANGEROUS, "dataLead": LEAD}]},
    ],
)
@pytest.mark.parametrize(
    "job",
    [CREATE, UPDATE.model_copy(update={"title": "Maria Silva"}), SOUGHT],
    ids=["create", "update", "look-up"],
)
async def test_no_answer_can_make_us_tell_secrets_or_personal_data(
    status: int, body: Any, job: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the record, not in a listing, not in the error, not in a log at any level.

    A name inside a refusal is hidden if it is one of the job's own texts; any other name cannot be told from a word.
    """
    caplog.set_level(logging.DEBUG)

    async with Crm(status, body, x_token=TOKEN, location=f"https://x.example/{TOKEN}").client() as client:
        try:
            if isinstance(job, Sought):
                told: Any = await client.look_by_lead(settings(auth="query"), 8473, sought=job)
            else:
                told = await client.send(job, settings(auth="query"), marker=None, opportunity_id=4534)
        except AttemptError as error:
            told = (str(error), repr(error), error.args, error.seen, error.retry_after_s)
            if isinstance(error, Throttled):
                told += (error.usage, error.limit)

    text = f"{told!r} {told} {caplog.text}".lower()
    assert [planted for planted in PLANTED if planted.lower() in text] == []


async def test_a_client_is_closed_when_its_block_is_over() -> None:
    """And opened when it begins: a TLS context takes a tenth of a second."""
    opened, closed = [], []

    class Transport(httpx.AsyncBaseTransport):
        async def __aenter__(self) -> Any:
            opened.append(1)
            return self

        async def __aexit__(self, *_: object) -> None:
            closed.append(1)

        async def aclose(self) -> None:
            closed.append(1)

    async with CrmClient(transport=Transport()) as client:
        assert (opened, closed) == ([1], [])
    assert closed
    with pytest.raises(NotSent, match="the client is closed"):
        await client.send(CREATE, settings(), marker=None)


async def test_who_calls_is_told() -> None:
    """With the version, for whoever reads the CRM's log."""
    crm = Crm()
    async with crm.client() as client:
        await client.send(CREATE, settings(), marker=None)

    assert crm.requests[0].headers["user-agent"].startswith("opportunity-sync/")


async def test_a_text_of_the_job_is_no_part_of_what_is_told() -> None:
    """Its title and its fields' texts; a job without a title has none to hide."""
    job = CREATE.model_copy(update={"fields": {"Nome": "Joana Prado", "Idade": 5}})
    crm = Crm(400, {"msg": "Maria Silva and Joana Prado are bad, and None"})
    async with crm.client() as client:
        with pytest.raises(Rejected) as refused:
            await client.send(job, settings(), marker=None)
        update = UPDATE.model_copy(update={"title": None})
        with pytest.raises(Rejected) as second:
            await client.send(update, settings(), marker=None, opportunity_id=1)

    assert refused.value.seen.text == "[hidden] and [hidden] are bad, and None"
    assert second.value.seen.text == "Maria Silva and Joana Prado are bad, and None"
