"""What is handed to aiohttp for one call, and what each of its errors is taken for. No sockets."""

import ssl
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
import yarl
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy

from oppsync_worker.crm.connections import CURRENT, USE, Connector, Use
from oppsync_worker.crm.transport import QUERY_SECRET, SENT_HEADERS, AiohttpTransport, _as_httpx, _Body, _lost, _once

KEY = ConnectionKey("crm.example", 443, True, True, None, None, None)
INFO = RequestInfo(yarl.URL("https://crm.example/?apitoken=s3cr3t"), "POST", CIMultiDictProxy(CIMultiDict()))

LOST: list[tuple[Exception, type[httpx.TransportError], str]] = [
    (TimeoutError(), httpx.ReadTimeout, "no answer in time"),
    (aiohttp.SocketTimeoutError("s3cr3t"), httpx.ReadTimeout, "no answer in time"),
    (aiohttp.ServerDisconnectedError("s3cr3t"), httpx.RemoteProtocolError, "disconnected without an answer"),
    (aiohttp.ClientResponseError(INFO, ()), httpx.RemoteProtocolError, "broken or unfinished answer"),
    (aiohttp.ClientPayloadError("s3cr3t"), httpx.RemoteProtocolError, "broken or unfinished answer"),
    (aiohttp.ClientOSError(104, "s3cr3t"), httpx.ReadError, "connection lost (ClientOSError)"),
    (ConnectionResetError("s3cr3t"), httpx.ReadError, "connection lost (ConnectionResetError)"),
    (ssl.SSLError("s3cr3t"), httpx.ReadError, "connection lost (SSLError)"),
    (aiohttp.ClientError("s3cr3t"), httpx.ReadError, "connection lost (ClientError)"),
]


@pytest.mark.parametrize(("error", "kind", "words"), LOST, ids=lambda one: type(one).__name__)
def test_after_these_nobody_knows_what_arrived(error: Exception, kind: type[Exception], words: str) -> None:
    """Wherever they are raised; and none of their words are repeated, which can hold the address."""
    for found in (_lost(error), _as_httpx(error)):
        assert type(found) is kind
        assert str(found) == words


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (aiohttp.ConnectionTimeoutError("s3cr3t"), httpx.ConnectTimeout, "no connection in time"),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), httpx.ConnectError, "refused"),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError()), httpx.ConnectError, "ConnectionRefusedError"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown name")), httpx.ConnectError, "unknown name"),
        (
            aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("s3cr3t")),
            httpx.ConnectError,
            "the server's certificate is not trusted",
        ),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "handshake")), httpx.ConnectError, "handshake"),
        (aiohttp.InvalidURL("s3cr3t"), httpx.UnsupportedProtocol, "not an HTTP address"),
        (aiohttp.NonHttpUrlClientError("s3cr3t"), httpx.UnsupportedProtocol, "not an HTTP address"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_before_these_nothing_was_sent(error: Exception, kind: type[Exception], words: str) -> None:
    """DNS, TCP, TLS, and addresses that are none."""
    found = _as_httpx(error)

    assert type(found) is kind
    assert str(found) == words


class Request:
    """As aiohttp's middlewares see it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url = yarl.URL(url, encoded=True)
        self.headers = CIMultiDict(headers)


async def passed(request: Request, *, query_secret: str | None = None, error: Exception | None = None) -> Any:
    """What comes out of the middleware."""

    async def handler(_: Any) -> Any:
        if error:
            raise error
        return "answer"

    return await _once(request, handler, query_secret=query_secret)  # type: ignore[arg-type]


async def test_only_known_headers_leave() -> None:
    """Whatever else a tracing library has put there."""
    known = {
        "Host": "h",
        "Content-Type": "c",
        "Content-Length": "2",
        "Accept": "a",
        "Accept-Encoding": "e",
        "Authorization": "z",
        "apitoken": "t",
        "User-Agent": "u",
    }
    request = Request("https://crm.example/x?i=acme", {**known, "Sentry-Trace": "1", "baggage": "2", "Cookie": "3"})

    assert await passed(request) == "answer"

    assert dict(request.headers) == known
    assert frozenset(name.lower() for name in known) == SENT_HEADERS
    assert str(request.url) == "https://crm.example/x?i=acme"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://crm.example/x?i=acme", "https://crm.example/x?i=acme&apitoken=a%2Fb"),
        ("https://crm.example/x", "https://crm.example/x?apitoken=a%2Fb"),
        ("https://crm.example/x%20y?i=a%2Bb", "https://crm.example/x%20y?i=a%2Bb&apitoken=a%2Fb"),
    ],
)
async def test_a_secret_joins_the_query_on_the_wire_only(url: str, sent: str) -> None:
    """As it was given, escaped by whoever made it."""
    request = Request(url, {})

    await passed(request, query_secret="apitoken=a%2Fb")

    assert str(request.url) == sent


@pytest.mark.parametrize(
    "error", [aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), aiohttp.ConnectionTimeoutError()]
)
async def test_an_error_of_connecting_passes_as_it_is(error: Exception) -> None:
    """It is proof that nothing was sent."""
    with pytest.raises(type(error)) as raised:
        await passed(Request("https://h/", {}), error=error)

    assert raised.value is error


@pytest.mark.parametrize(("error", "kind", "words"), LOST, ids=lambda one: type(one).__name__)
async def test_every_other_is_out_of_aiohttps_reach_at_once(
    error: Exception, kind: type[Exception], words: str
) -> None:
    """It would send an update a second time by itself."""
    with pytest.raises(httpx.TransportError, match=words.split("(", maxsplit=1)[0]) as raised:
        await passed(Request("https://h/", {}), error=error)

    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


class Session:
    """aiohttp's, which keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked, self.use, self.closed = answer, {}, None, 0

    async def request(self, method: str, url: yarl.URL, **given: Any) -> Any:
        self.asked = {"method": method, "url": str(url), **given}
        self.use = CURRENT.get(None)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        self.closed += 1


async def chunks(*parts: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """An answer's content."""
    for part in parts:
        yield part
    if error:
        raise error


def answer(*parts: bytes, error: Exception | None = None) -> Any:
    """As aiohttp gives it."""
    said = SimpleNamespace(iter_any=lambda: chunks(*parts, error=error))
    return SimpleNamespace(status=207, raw_headers=((b"X-A", b"1"),), content=said, close=lambda: None)


def transport(session: Session) -> AiohttpTransport:
    """One over this session."""
    made = AiohttpTransport()
    made._session = session  # type: ignore[assignment]
    return made


def request(content: bytes = b"{}", **extensions: Any) -> httpx.Request:
    """An update's."""
    return httpx.Request(
        "PUT",
        "https://crm.example/a%20b?i=acme",
        headers=[(b"Host", b"crm.example"), (b"X-Name", "å".encode("latin-1"))],
        stream=httpx.ByteStream(content),
        extensions=extensions,
    )


async def test_a_call_is_handed_over_as_it_is() -> None:
    """Method, address, headers and body; no redirect; connecting and reading with limits of their own."""
    session, use = Session(answer(b"a", b"b")), Use("kind")
    asked = request(**{USE: use, "timeout": {"connect": 5.0, "read": 30.0}, QUERY_SECRET: "s=1"})

    response = await transport(session).handle_async_request(asked)

    (middleware,) = session.asked.pop("middlewares")
    assert (middleware.func, middleware.keywords) == (_once, {"query_secret": "s=1"})
    assert session.asked == {
        "method": "PUT",
        "url": "https://crm.example/a%20b?i=acme",
        "headers": [("Host", "crm.example"), ("X-Name", "å")],
        "data": b"{}",
        "allow_redirects": False,
        "timeout": aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=30.0),
    }
    assert session.use is use
    assert CURRENT.get(None) is None
    assert (response.status_code, response.headers["x-a"]) == (207, "1")
    assert [part async for part in response.stream] == [b"a", b"b"]  # type: ignore[union-attr]


async def test_a_call_without_limits_body_or_use_has_none() -> None:
    """A look-up of somebody else's; its connection is its own."""
    session = Session(answer())

    await transport(session).handle_async_request(request(b""))

    assert session.asked["data"] is None
    assert session.asked["timeout"] == aiohttp.ClientTimeout(total=None, connect=None, sock_read=None)
    assert session.use == Use()
    assert session.use.distinct is None


async def test_an_error_outside_of_the_middleware_is_taken_for_what_it_is() -> None:
    """And the connection's use is forgotten all the same."""
    refused = aiohttp.ClientConnectorError(KEY, OSError(111, "refused"))
    with pytest.raises(httpx.ConnectError) as raised:
        await transport(Session(refused)).handle_async_request(request())

    assert raised.value.__cause__ is refused
    assert CURRENT.get(None) is None


async def test_an_answer_that_breaks_off_is_lost() -> None:
    """In the middle of its body."""
    broken = aiohttp.ClientPayloadError("s3cr3t")
    parts = aiter(_Body(answer(b"a", error=broken)))
    assert await anext(parts) == b"a"

    with pytest.raises(httpx.RemoteProtocolError, match="broken or unfinished answer") as raised:
        await anext(parts)

    assert raised.value.__cause__ is broken


async def test_an_answer_that_is_not_wanted_any_more_takes_its_connection_along() -> None:
    """Closed, not given back."""
    closed = []
    one = answer()
    one.close = lambda: closed.append(1)

    await _Body(one).aclose()

    assert closed == [1]


async def test_a_session_is_made_once_and_trusts_nobody_else() -> None:
    """No cookies, no proxies of the environment, no decompressing; our own connections, with the authorities given."""
    context = ssl.create_default_context()
    made = AiohttpTransport(ssl_context=context)
    await made.aclose()
    async with made:
        session = made._session
        assert session is not None
        assert isinstance(session.connector, Connector)
        assert session.connector._ssl is context
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert (session.auto_decompress, session.trust_env) == (False, False)
        await made.__aenter__()
        assert made._session is session
    assert session.closed


async def test_without_authorities_given_there_are_the_machines() -> None:
    """Certificates are always looked at."""
    made = AiohttpTransport()
    async with made:
        assert made._session is not None
        assert isinstance(made._session.connector, Connector)
        context = made._session.connector._ssl
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED


async def test_the_first_call_makes_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody has opened the client before."""
    made, session = AiohttpTransport(), Session(answer())
    monkeypatch.setattr(made, "_new_session", lambda: session)

    await made.handle_async_request(request())
    await made.handle_async_request(request())

    assert session.asked["method"] == "PUT"
    await made.aclose()
    assert session.closed == 1
