"""Against real sockets: what is called `NotSent` was not sent, and one call is one request."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
import os
import socket
import ssl
from typing import Any

import pytest
import trustme

from integration.crm.loopback import OK, Wire, naming, serving
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.crm import transport
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.errors import AnswerLost, AttemptError, NotSent, Rejected, Unavailable
from oppsync_worker.instances import InstanceSettings

CREATE = CreateOpportunity(instance="acme", funnel_id=12, title="T", crm_column=159, lead_id=8473)
UPDATE = UpdateOpportunity(instance="acme", funnel_id=12, opportunity_id=4534, value="5")


def another(job: Any, number: int = 1) -> Any:
    """A job of the same kind for another record: what one connection may carry after `job`."""
    name = "lead_id" if isinstance(job, CreateOpportunity) else "opportunity_id"
    return job.model_copy(update={name: getattr(job, name) + number})


LOOK = Sought.of(CREATE, InstanceSettings(name="acme", token="tok-0123456789"), marker="m-1")

both = pytest.mark.parametrize(("job", "unsettled"), [(CREATE, AnswerLost), (UPDATE, Unavailable)], ids=["POST", "PUT"])
every = pytest.mark.parametrize(
    ("job", "unsettled"),
    [(CREATE, AnswerLost), (UPDATE, Unavailable), (LOOK, Unavailable)],
    ids=["POST", "PUT", "GET"],
)


def settings(url: str, **changes: Any) -> InstanceSettings:
    return InstanceSettings(name="acme", token="tok-0123456789", base_url=url, **changes)


async def outcome(client: CrmClient, job: Any, url: str, **changes: Any) -> type:
    given = settings(url, **changes)
    try:
        if isinstance(job, Sought):
            return type(await client.look_by_lead(given, 8473, sought=job))
        return type(await client.send(job, given, marker=None))
    except AttemptError as error:
        return type(error)


async def accept_and_close(_: Wire) -> None:
    return


async def accept_and_reset(wire: Wire) -> None:
    wire.reset()


async def read_and_close(wire: Wire) -> None:
    await wire.request()


async def read_and_reset(wire: Wire) -> None:
    await wire.request()
    wire.reset()


async def read_and_say_nothing(wire: Wire) -> None:
    await wire.request()
    await wire.reader.read()


async def half_a_head(wire: Wire) -> None:
    await wire.request()
    await wire.answer(b"HTTP/1.1 200 OK\r\nContent-Le")


async def half_a_body(wire: Wire) -> None:
    await wire.request()
    await wire.answer(OK[:-3])


async def half_a_body_and_reset(wire: Wire) -> None:
    await wire.request()
    await wire.answer(OK[:-3])
    wire.reset()


async def half_a_body_and_silence(wire: Wire) -> None:
    await wire.request()
    await wire.answer(OK[:-3])
    await wire.reader.read()


async def not_http(wire: Wire) -> None:
    await wire.request()
    await wire.answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def a_bad_header(wire: Wire) -> None:
    await wire.request()
    await wire.answer(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")


async def broken_chunks(wire: Wire) -> None:
    await wire.request()
    await wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


async def switching_protocols(wire: Wire) -> None:
    await wire.request()
    await wire.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")


@every
@pytest.mark.parametrize(
    "behave",
    [
        accept_and_close,
        accept_and_reset,
        read_and_close,
        read_and_reset,
        read_and_say_nothing,
        half_a_head,
        half_a_body,
        half_a_body_and_reset,
        half_a_body_and_silence,
        not_http,
        a_bad_header,
        broken_chunks,
        switching_protocols,
    ],
    ids=lambda behave: behave.__name__,
)
async def test_a_connection_that_stood_may_have_carried_the_request(
    job: Any, unsettled: type[AttemptError], behave: Any
) -> None:
    """Never `NotSent`, and never a second connection."""
    async with serving(behave) as seen, CrmClient() as client:
        found = await outcome(client, job, seen.url, read_seconds=0.1)

    assert found is unsettled
    assert seen.connections == 1
    assert len(seen.requests) <= 1


@every
async def test_a_refused_connection_was_not_sent(job: Any, unsettled: type[AttemptError]) -> None:
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with CrmClient() as client:
            found = await outcome(client, job, f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert found is NotSent is not unsettled


@every
async def test_an_unknown_host_was_not_sent(
    job: Any, unsettled: type[AttemptError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver's own error, without asking a real one."""

    def no_such_host(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    async with CrmClient() as client:
        found = await outcome(client, job, "http://crm.invalid")

    assert found is NotSent is not unsettled


@every
async def test_a_host_that_never_resolves_was_not_sent(
    job: Any, unsettled: type[AttemptError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connect limit covers DNS too, so the call's deadline never falls into it."""

    async def forever(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", forever)
    async with CrmClient() as client:
        found = await outcome(client, job, "http://crm.invalid", connect_seconds=0.1)

    assert found is NotSent is not unsettled


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Signs a certificate for 127.0.0.1; the world does not know it."""
    return trustme.CA()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@both
async def test_an_untrusted_certificate_was_not_sent(
    job: Any, unsettled: type[AttemptError], authority: trustme.CA
) -> None:
    """The handshake fails on our side; the reason is told."""
    async with serving(read_and_close, ssl_context=server_context(authority)) as seen, CrmClient() as client:
        with pytest.raises(NotSent, match="certificate") as caught:
            await client.send(job, settings(f"https://127.0.0.1:{seen.port}"), marker=None)

    assert seen.requests == []
    assert not isinstance(caught.value, unsettled)


@every
@pytest.mark.parametrize("behave", [accept_and_close, accept_and_reset, not_http], ids=lambda b: b.__name__)
async def test_a_handshake_that_breaks_was_not_sent(job: Any, unsettled: type[AttemptError], behave: Any) -> None:
    """A server that speaks no TLS: HTTP cannot have begun."""

    async def talk(wire: Wire) -> None:
        if behave is not_http:
            await wire.reader.read(1)
            await wire.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            await behave(wire)

    async with serving(talk) as seen, CrmClient() as client:
        found = await outcome(client, job, f"https://127.0.0.1:{seen.port}")

    assert found is NotSent is not unsettled


@every
async def test_a_handshake_without_end_was_not_sent(job: Any, unsettled: type[AttemptError]) -> None:
    """The connect limit covers TLS too."""

    async def say_nothing(wire: Wire) -> None:
        await wire.reader.read()

    async with serving(say_nothing) as seen, CrmClient() as client:
        found = await outcome(client, job, f"https://127.0.0.1:{seen.port}", connect_seconds=0.1)

    assert found is NotSent is not unsettled


@both
async def test_a_call_over_tls_succeeds(job: Any, unsettled: type[AttemptError], authority: trustme.CA) -> None:
    """With an authority of one's own, and over a connection that is used again."""
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    async def answer_twice(wire: Wire) -> None:
        for _ in range(2):
            await wire.answer(naming(await wire.request()))

    served = serving(answer_twice, ssl_context=server_context(authority))
    async with served as seen, CrmClient(ssl_context=trusted) as client:
        for given in (job, another(job)):
            record = await client.send(given, settings(f"https://127.0.0.1:{seen.port}"), marker=None)
            assert record.opportunity_id in (4534, 4535)

    assert (seen.connections, len(seen.requests)) == (1, 2)
    assert unsettled


@both
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_dies_under_a_request_is_not_tried_again(
    job: Any, unsettled: type[AttemptError], how: str
) -> None:
    """Here aiohttp, left alone, would send a PUT a second time."""

    async def answer_once(wire: Wire) -> None:
        await wire.answer(naming(await wire.request()))
        await wire.request()
        if how == "reset":
            wire.reset()

    async with serving(answer_once) as seen, CrmClient() as client:
        first = await outcome(client, job, seen.url)
        second = await outcome(client, another(job), seen.url)

    assert first is not unsettled
    assert second is unsettled
    assert (seen.connections, len(seen.requests)) == (1, 2)


@both
async def test_a_kept_connection_that_the_server_has_closed_is_replaced(
    job: Any, unsettled: type[AttemptError]
) -> None:
    """Seen closed before the request, it is not used: that is no second try, and nothing is in doubt."""
    closed = asyncio.Event()

    async def answer_and_close(wire: Wire) -> None:
        await wire.answer(naming(await wire.request()))
        wire.writer.close()
        await wire.writer.wait_closed()
        closed.set()

    async with serving(answer_and_close) as seen, CrmClient() as client:
        for number in range(3):
            closed.clear()
            assert await outcome(client, another(job, number), seen.url) is not unsettled
            await closed.wait()
            session = client._exchange._http._transport._session  # type: ignore[attr-defined]
            (kept,) = session.connector._conns.values()
            async with asyncio.timeout(5):
                while kept[0][0].is_connected():  # noqa: ASYNC110 - until our side has read the FIN; it offers no event
                    await asyncio.sleep(0)

    assert (seen.connections, len(seen.requests)) == (3, 3)


@both
async def test_a_kept_connection_closed_behind_our_back_is_in_doubt_at_worst(
    job: Any, unsettled: type[AttemptError]
) -> None:
    """The race itself, run often: whatever comes, the server has read no request twice."""

    async def answer_and_close(wire: Wire) -> None:
        await wire.answer(naming(await wire.request()))

    async with serving(answer_and_close) as seen, CrmClient() as client:
        found = [await outcome(client, another(job, number), seen.url) for number in range(50)]

    assert NotSent not in found
    assert len(seen.requests) == sum(item is not unsettled for item in found)


@both
async def test_an_early_answer_to_nothing_is_not_taken_for_ours(job: Any, unsettled: type[AttemptError]) -> None:
    """Some gateways write a 408 into an idle connection before they close it."""
    written = asyncio.Event()

    async def gossip(wire: Wire) -> None:
        await wire.request()
        await wire.answer(OK + (b"" if written.is_set() else OK.replace(b"4534", b"9999")))
        written.set()
        await wire.reader.read()

    async with serving(gossip) as seen, CrmClient() as client:
        for _ in range(2):
            record = await client.send(job, settings(seen.url), marker=None)
            assert record.opportunity_id == 4534

    assert seen.connections == 2
    assert unsettled


@every
async def test_a_redirect_is_not_followed(job: Any, unsettled: type[AttemptError]) -> None:
    """The token stays with the host it belongs to."""

    async def move(wire: Wire) -> None:
        await wire.request()
        await wire.answer(
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: http://127.0.0.1:%d/x\r\nContent-Length: 0\r\n\r\n"
            % wire.seen.port
        )

    async with serving(move) as seen, CrmClient() as client:
        found = await outcome(client, job, seen.url)

    assert found is Rejected is not unsettled
    assert len(seen.requests) == 1


@every
async def test_the_deadline_cuts_a_trickle(job: Any, unsettled: type[AttemptError]) -> None:
    """A byte now and then satisfies the read limit, not the call's."""

    async def trickle(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await wire.answer(b"1\r\n \r\n")
            await asyncio.sleep(0.01)

    async with serving(trickle) as seen, CrmClient() as client:
        found = await outcome(client, job, seen.url, connect_seconds=0.1, call_seconds=0.2)

    assert found is unsettled
    assert len(seen.requests) <= 1


@every
async def test_an_endless_answer_is_cut_and_its_connection_closed(job: Any, unsettled: type[AttemptError]) -> None:
    """At the bound, not at the deadline."""
    gone = asyncio.Event()

    async def flood(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        try:
            while True:
                await wire.answer(b" " * 65_536)
        finally:
            gone.set()

    async with serving(flood) as seen, CrmClient() as client:
        found = await outcome(client, job, seen.url)
        await gone.wait()

    assert found is unsettled


@pytest.mark.parametrize("job", [CREATE, UPDATE], ids=["POST", "PUT"])
async def test_a_call_that_is_cut_leaves_nothing_for_the_next(job: Any) -> None:
    """A late answer to one call is never taken for the answer to another."""
    received, release = asyncio.Event(), asyncio.Event()

    async def late_then_prompt(wire: Wire) -> None:
        await wire.request()
        if wire.seen.connections == 1:
            received.set()
            await release.wait()
            await wire.answer(OK.replace(b"4534", b"1111"))
        else:
            await wire.answer()

    async with serving(late_then_prompt) as seen, CrmClient() as client:
        call = asyncio.create_task(client.send(job, settings(seen.url), marker=None))
        await received.wait()
        call.cancel()  # as the deadline does
        await asyncio.wait([call])
        release.set()
        record = await client.send(job, settings(seen.url), marker=None)

    assert call.cancelled()
    assert record.opportunity_id == 4534
    assert seen.connections == 2


async def test_many_calls_at_once_share_the_client() -> None:
    """As many connections as calls in flight, kept for the next."""
    together = asyncio.Event()

    async def answer_together(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if len(wire.seen.requests) >= 50:
                together.set()
            await together.wait()
            await wire.answer(naming(request))

    async with serving(answer_together) as seen, CrmClient() as client:
        for first in (0, 50):
            jobs = [another(CREATE, first + number) for number in range(50)]
            await asyncio.gather(*(client.send(job, settings(seen.url), marker=None) for job in jobs))

    assert (seen.connections, len(seen.requests)) == (50, 100)


async def test_the_wire_shows_exactly_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No header of aiohttp's, no proxy from the environment, and the query token only here."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")

    async with serving(read_then_answer) as seen, CrmClient() as client:
        await client.send(CREATE, settings(seen.url, auth="query"), marker=None)
        await client.send(UPDATE, settings(seen.url), marker=None)
        await client.look_by_lead(settings(seen.url), 8473, sought=LOOK)
        await client.look_by_column(
            settings(seen.url), funnel_id=12, column_id=159, page=0, archived=False, sought=LOOK
        )

    create, update, by_lead, by_column = seen.requests
    assert create.startswith(b"POST /crmopportunity?id=12&i=acme&apitoken=tok-0123456789 HTTP/1.1\r\n")
    assert b"uthorization" not in create
    assert update.startswith(b"PUT /crmopportunity/4534?id=12&i=acme HTTP/1.1\r\n")
    assert by_lead.startswith(b"GET /listopportunitysleadcomplete/8473?i=acme HTTP/1.1\r\n")
    assert by_column.startswith(b"POST /crm/opportunities/12?i=acme HTTP/1.1\r\n")
    assert header_names(update) == header_names(by_column) == transport.SENT_HEADERS
    assert header_names(by_lead) == transport.SENT_HEADERS - {"content-length"}


async def test_headers_that_tracing_adds_are_taken_off_again() -> None:
    """Sentry's integrations add theirs to whatever passes, unasked."""

    async def trace(request: Any) -> None:
        request.headers["sentry-trace"] = request.headers["Baggage"] = request.headers["traceparent"] = "x"

    async with serving(read_then_answer) as seen, CrmClient() as client:
        client._exchange._http.event_hooks = {"request": [trace]}
        await client.send(CREATE, settings(seen.url), marker=None)

    assert all(name not in seen.requests[0].lower() for name in (b"sentry", b"baggage", b"traceparent"))


def header_names(request: bytes) -> set[str]:
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {line.partition(b":")[0].lower().decode() for line in lines}


async def read_then_answer(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.answer()
