"""httpx over aiohttp's connections, with an honest account of what was sent.

Two decisions (figures: 200 calls at once, answers after 100 ms, TLS off, Python 3.11, 2 cores):

*Speed.* httpx's own pool scans all connections for every request: one shared client did 8 requests/s, a client for each
slot 550 at 1.8 ms CPU a request. On aiohttp's connections httpx did two to three times that at half the CPU or less.

*Honesty.* `NotSent` must be proof, or a customer's card is doubled. Three habits below httpx would break it:
 1. httpx-aiohttp 0.2 turns every `aiohttp.ClientConnectionError`, also "server disconnected" after the request was
    read, into `httpx.ConnectTimeout`. So the mapping is our own, and only what aiohttp raises while *connecting*
    becomes a connect error; whatever cannot be told becomes a read error.
 2. aiohttp itself sends an idempotent request (our PUT) a second time when a kept-alive connection turns out dead. One
    call is one request here: `_once` turns such errors into httpx's before aiohttp's retry sees them.

 3. an answer is taken for whatever was asked last. Which connection may carry which call: `connections`.

It follows no redirect, keeps no cookie, reads no proxy or netrc from the environment, and sends only `SENT_HEADERS`:
whatever a tracing library has added (Sentry's does, unasked) is taken off again.
"""

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from typing import Final, Self

import aiohttp
import httpx
import yarl

from oppsync_worker.crm.connections import CURRENT, USE, Connector, Use

SENT_HEADERS: Final = frozenset(
    ("host", "content-type", "content-length", "accept", "accept-encoding", "authorization", "apitoken", "user-agent")
)

QUERY_SECRET: Final = "query_secret"  # noqa: S105 - a key, not a secret
"""Request extension: query text appended on the wire only, where no log, trace or exception can show it."""

_ConnectFailed = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Raised by aiohttp's connector alone (aiohttp 3.14, `connector.py` and `client.py`): DNS, TCP and TLS set-up."""
_Anything = (aiohttp.ClientError, OSError)  # TimeoutError and ssl.SSLError are OSErrors


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One connection pool for all instances, made at the first call on the loop that makes it."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol: provably nothing was sent.
            httpx.TransportError: any other subclass leaves it open.
        """
        if self._session is None:
            self._session = self._new_session()
        mark = CURRENT.set(request.extensions.get(USE) or Use())
        try:
            response = await self._session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_timeout(request),
                middlewares=(partial(_once, query_secret=request.extensions.get(QUERY_SECRET)),),
            )
        except _Anything as error:
            raise _as_httpx(error) from error
        finally:
            CURRENT.reset(mark)
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def __aenter__(self) -> Self:
        # Building a TLS context takes a tenth of a second: not in the middle of the first calls.
        if self._session is None:
            self._session = self._new_session()
        return self

    async def aclose(self) -> None:
        """Close every connection; safe to call twice."""
        if self._session is not None:
            await self._session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        # SSL_CERT_FILE and SSL_CERT_DIR are honoured here, for companies with an authority of their own.
        context = self._ssl_context or httpx.create_ssl_context()
        return aiohttp.ClientSession(
            connector=Connector(ssl_context=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # `body` does it, bounded
            trust_env=False,
        )


class _Body(httpx.AsyncByteStream):
    """The answer's bytes as they come; an unfinished answer takes its connection with it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except _Anything as error:
            raise _lost(error) from error

    async def aclose(self) -> None:
        self._response.close()  # after the last byte the connection has gone back to the pool already


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, *, query_secret: str | None
) -> aiohttp.ClientResponse:
    """Around connecting and sending, below all tracing: no second try, no header that was not meant."""
    if query_secret:
        separator = "&" if request.url.raw_query_string else "?"
        request.url = yarl.URL(f"{request.url}{separator}{query_secret}", encoded=True)
    for name in {name.lower() for name in request.headers} - SENT_HEADERS:
        request.headers.popall(name)
    try:
        return await handler(request)
    except _ConnectFailed:
        raise
    except _Anything as error:
        raise _lost(error) from error


def _timeout(request: httpx.Request) -> aiohttp.ClientTimeout:
    """`connect` covers DNS, TCP and TLS together. There is no limit on writing: a body fits the socket's buffer."""
    limits = request.extensions.get("timeout", {})
    return _limits(limits.get("connect"), limits.get("read"))


@lru_cache(maxsize=1024)
def _limits(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


def _as_httpx(error: Exception) -> httpx.TransportError:
    """An error from outside `_once`, where aiohttp's own connect errors pass."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("no connection in time")
        case aiohttp.ClientConnectorCertificateError():
            return httpx.ConnectError("the server's certificate is not trusted")
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(error.os_error.strerror or type(error.os_error).__name__)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.UnsupportedProtocol("not an HTTP address")
        case _:
            return _lost(error)


def _lost(error: Exception) -> httpx.TransportError:
    """An error after which nobody knows what arrived. aiohttp's text is left out: it can hold the address."""
    match error:
        case TimeoutError():
            return httpx.ReadTimeout("no answer in time")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError("disconnected without an answer")
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError("broken or unfinished answer")
        case _:
            return httpx.ReadError(f"connection lost ({type(error).__name__})")
