"""A look-up as it goes out, and what the client makes of its answer. No sockets: httpx's own mock."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from oppsync_worker.crm.body import MAX_ANSWER_BYTES
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.listings import Listing
from oppsync_worker.crm.lookups import MAX_LIST_BYTES
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.crm.transport import QUERY_SECRET
from oppsync_worker.errors import CredentialRefused, NotSent, Rejected, Unavailable
from oppsync_worker.instances import InstanceSettings

TOKEN = "0c4e1e26-7a0b-4b8e-9a53-0d4e7b6f1a2c"
SOUGHT = Sought("Maria Silva", None, None, 159, 8473, "m-1", "oppsync")
NOW = datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)

Look = Callable[[CrmClient, InstanceSettings], Awaitable[Listing]]


def settings(**changes: Any) -> InstanceSettings:
    return InstanceSettings(**{"name": "acme", "token": TOKEN, "base_url": "https://crm.example/api/", **changes})


def by_lead(client: CrmClient, given: InstanceSettings) -> Awaitable[Listing]:
    return client.look_by_lead(given, 8473, sought=SOUGHT)


def by_column(client: CrmClient, given: InstanceSettings) -> Awaitable[Listing]:
    return client.look_by_column(given, funnel_id=12, column_id=159, page=2, archived=False, sought=SOUGHT)


both = pytest.mark.parametrize("look", [by_lead, by_column], ids=["by lead", "by column"])


class Crm:
    """Answers every request alike, and remembers it."""

    def __init__(self, body: Any = (), *, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, headers
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        return httpx.Response(self.status, headers=self.headers, stream=httpx.ByteStream(self.body))

    def client(self) -> CrmClient:
        return CrmClient(transport=httpx.MockTransport(self), now=lambda: NOW)


HEADERS = {
    "host": "crm.example",
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "identity",
    "authorization": f"Bearer {TOKEN}",
    "apitoken": TOKEN,
}


async def test_a_look_by_lead_is_one_get() -> None:
    """Method, path, query and headers; it has no body, and says nothing of one."""
    crm = Crm()

    async with crm.client() as client:
        listing = await by_lead(client, settings())

    (request,) = crm.requests
    assert listing == Listing((), whole=True)
    assert request.method == "GET"
    assert str(request.url) == "https://crm.example/api/listopportunitysleadcomplete/8473?i=acme"
    assert request.content == b""
    headers = dict(request.headers)
    assert headers.pop("user-agent").startswith("opportunity-sync/")
    assert headers == HEADERS


@pytest.mark.parametrize("archived", [False, True])
async def test_a_look_by_column_is_one_post_with_the_web_clients_whole_body(*, archived: bool) -> None:
    """An unknown property would be refused; a missing one might leave records out."""
    crm = Crm()

    async with crm.client() as client:
        await client.look_by_column(settings(), funnel_id=12, column_id=159, page=3, archived=archived, sought=SOUGHT)

    (request,) = crm.requests
    assert request.method == "POST"
    assert str(request.url) == "https://crm.example/api/crm/opportunities/12?i=acme"
    assert json.loads(request.content) == {
        "filterByUsers": None,
        "filterByStatus": ["open", "gain", "lost"],
        "filterByExpectedCloseDate": None,
        "filters": [],
        "search": "",
        "page": 3,
        "limit": 100,
        "columnId": 159,
        "onlyArchived": archived,
        "searchBy": "opportunity",
    }
    headers = dict(request.headers)
    assert headers.pop("user-agent").startswith("opportunity-sync/")
    assert headers == {**HEADERS, "content-length": str(len(request.content))}


@both
async def test_no_token_is_in_the_url_that_httpx_sees(look: Look) -> None:
    """The transport appends it on the wire, where an instance accepts nothing else."""
    crm = Crm()

    async with crm.client() as client:
        await look(client, settings(auth="query"))

    (request,) = crm.requests
    assert TOKEN not in str(request.url)
    assert request.extensions[QUERY_SECRET] == f"apitoken={TOKEN}"
    assert {"authorization", "apitoken"}.isdisjoint(request.headers)


@both
async def test_a_list_may_be_larger_than_other_answers(look: Look) -> None:
    """Its rows carry whole leads."""
    row = {"id": 4534, "dataLead": {"notes": "x" * MAX_ANSWER_BYTES}}

    async with Crm([row]).client() as client:
        listing = await look(client, settings())

    assert [sighting.opportunity_id for sighting in listing.rows] == [4534]


@both
async def test_a_list_that_had_to_be_cut_proves_nothing(look: Look) -> None:
    """Even if it reads well up to the cut."""
    async with Crm(b"[]" + b" " * MAX_LIST_BYTES).client() as client:
        with pytest.raises(Unavailable, match="too large"):
            await look(client, settings())


@both
async def test_the_clocks_are_compared_at_the_answers_head(look: Look) -> None:
    """Not at the end of a body that took its time."""
    clock = [NOW]

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            clock[0] = NOW.replace(year=2025)
            yield b"[]"

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Date": "Tue, 19 Mar 2024 21:14:45 GMT"}, stream=Slow())

    async with CrmClient(transport=httpx.MockTransport(answer), now=lambda: clock[0]) as client:
        listing = await look(client, settings())

    assert listing.crm_ahead_s == 10.0


@both
async def test_an_answer_without_a_date_compares_no_clocks(look: Look) -> None:
    """Gateways may leave it out."""
    async with Crm().client() as client:
        listing = await look(client, settings())

    assert listing.crm_ahead_s is None


@both
async def test_a_look_up_has_the_calls_deadline(look: Look) -> None:
    """As a job has."""

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with CrmClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(Unavailable, match="deadline"):
            await look(client, settings(connect_seconds=0.005, call_seconds=0.01))


@both
async def test_a_token_that_cannot_be_sent_is_a_refused_credential(look: Look) -> None:
    """Found before sending."""
    crm = Crm()
    unchecked = settings().model_copy(update={"token": SecretStr("a b")})

    async with crm.client() as client:
        with pytest.raises(CredentialRefused):
            await look(client, unchecked)

    assert crm.requests == []


@both
async def test_a_closed_client_looks_for_nothing_and_says_so(look: Look) -> None:
    """A worker that is stopping."""
    client = Crm().client()
    await client.aclose()

    with pytest.raises(NotSent):
        await look(client, settings())


@both
async def test_a_refusal_that_quotes_the_title_does_not_tell_it(look: Look) -> None:
    """It can name people."""
    async with Crm({"msg": f"no MARIA SILVA for {TOKEN}"}, status=400).client() as client:
        with pytest.raises(Rejected) as caught:
            await look(client, settings())

    assert str(caught.value) == "HTTP 400: no [hidden] for [hidden]"


@both
async def test_jobs_and_look_ups_share_the_instances_settings(look: Look) -> None:
    """A new token takes effect at once, for both."""
    crm = Crm()

    async with crm.client() as client:
        await look(client, settings())
        await look(client, settings(token="another"))

    assert [request.headers["apitoken"] for request in crm.requests] == [TOKEN, "another"]
