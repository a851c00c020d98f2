"""One request, one answer: what every call to the CRM has in common, be it a job or a look-up.

Every error but a cancellation leaves here as an `AttemptError`, so the caller always learns whether the request can
have been carried out. There is one deadline over all of a call, one bound on its answer, and no second try.
"""

import asyncio
import ssl
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import partial
from importlib import metadata
from types import MappingProxyType
from typing import Final, NoReturn, TypeVar

import httpx

from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Names, Record
from oppsync_worker.crm.body import Answer, read_answer
from oppsync_worker.crm.classify import classify_failure, stray
from oppsync_worker.crm.connections import USE, Use
from oppsync_worker.crm.endpoint import Endpoint
from oppsync_worker.crm.transport import AiohttpTransport
from oppsync_worker.errors import CredentialRefused, NotSent, Rejected, Seen, Throttled
from oppsync_worker.instances import InstanceSettings

T = TypeVar("T")

Ask = Callable[[Endpoint], httpx.Request]
"""Makes the request of one call."""

_NOBODY: Final = object()


class _NoCookies(httpx.Cookies):
    """Keeps none: all instances share the client, so nothing of one answer may reach another request.

    It also saves a tenth of a call's CPU: httpx rebuilds every request and answer for the standard library's cookie
    jar, whether or not a cookie came.
    """

    def extract_cookies(self, response: httpx.Response) -> None:
        """Take nothing."""


class _CookielessClient(httpx.AsyncClient):
    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()

    @cookies.setter
    def cookies(self, _: object) -> NoReturn:
        raise TypeError("this client keeps no cookies")


class Exchange:
    """Connections to all instances, made at the first call, on its loop."""

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None,
        ssl_context: ssl.SSLContext | None,
        now: Callable[[], datetime],
    ) -> None:
        """See `client.CrmClient`; nothing is opened yet."""
        self._http = _CookielessClient(
            transport=transport or AiohttpTransport(ssl_context=ssl_context),
            trust_env=False,
            follow_redirects=False,
        )
        self._user_agent = f"opportunity-sync/{metadata.version('opportunity-sync')}"
        self._now = now
        self._endpoints: dict[str, Endpoint] = {}
        self._names: dict[tuple[str, Kind], Names] = {}
        """By what the last success of an instance named its call (`connections`)."""

    async def open(self) -> None:
        """Build now what the first call would otherwise wait for."""
        await self._http.__aenter__()

    async def aclose(self) -> None:
        """Close every connection; safe to call twice."""
        await self._http.aclose()

    async def ask(
        self,
        settings: InstanceSettings,
        make: Ask,
        read: Callable[..., T],
        *,
        kind: Kind | None,
        words: tuple[str, ...],
        max_bytes: int,
        subjects: Mapping[Names, Hashable] = MappingProxyType({}),
    ) -> T:
        """One call, from its request to what its answer means.

        Args:
            settings: where and how.
            make: makes the request.
            read: reads the answer (`classify`), given `now` and `secrets`.
            kind: the job's; None for a look-up.
            words: texts that a refusal may quote: they can name people.
            max_bytes: how much of an answer is read.
            subjects: what an answer can name this call by; none gives it a connection of its own (`connections`).

        Raises:
            AttemptError: for everything that goes wrong.
        """
        secrets = words
        request: httpx.Request | None = None
        use = Use()
        try:
            endpoint = self._endpoint(settings)
            secrets += endpoint.secrets
            request = make(endpoint)
            named = self._names.get((settings.name, kind), Names.NOTHING) if kind else Names.NOTHING
            distinct = (subjects[named],) if named in subjects else None
            use = request.extensions[USE] = Use(kind or "", tuple(subjects.values()), distinct)
            answer, now = await self._call(request, deadline_seconds=settings.call_seconds, max_bytes=max_bytes)
        except Exception as error:  # noqa: BLE001 - classified, every one
            failure = classify_failure(kind, error, began=request is not None, secrets=secrets)
        else:
            return self._told(
                partial(read, answer, now=now, secrets=secrets),
                answer,
                use,
                caller=(settings.name, kind),
                subjects=subjects,
            )
        finally:
            use.settle(keep=False)
        # Raised out here, so that it does not drag along (`__context__`) an error whose text nobody has redacted.
        raise failure

    def _told(
        self,
        read: Callable[[], T],
        answer: Answer,
        use: Use,
        *,
        caller: tuple[str, Kind | None],
        subjects: Mapping[Names, Hashable],
    ) -> T:
        """What an answer means, if it is sure to be the answer to this call.

        Raises:
            AttemptError: also for a success, or a refusal, that may have been meant for another call.
        """
        name, kind = caller
        try:
            found = read()
        except (Rejected, Throttled, CredentialRefused):
            # A far end that gives up an idle connection may say so with a refusal just as a request leaves, and closes.
            if not use.kept or not (use.early or "close" in answer.headers.get("connection", "").lower()):
                raise
            words = "a refusal that may have been meant for another request"
        else:
            names = found.names if isinstance(found, Record) else Names.NOTHING
            if kind is not None:
                self._names[name, kind] = names
            if not use.early and (not use.kept or subjects.get(names, _NOBODY) not in {*use.shared, _NOBODY}):
                use.settle(keep=names in subjects)
                return found
            words = "a success that may have been meant for another request"
        raise stray(kind, answer, words)

    async def _call(
        self, request: httpx.Request, *, deadline_seconds: float, max_bytes: int
    ) -> tuple[Answer, datetime]:
        """Send one request and read its answer within a deadline over all of it, which httpx itself does not have.

        The time is that of the answer's head: a `Date` is not compared with the end of a long body.
        """
        if self._http.is_closed:
            raise NotSent(Seen(None, "the client is closed"))
        async with asyncio.timeout(deadline_seconds):
            response = await self._http.send(request, stream=True, auth=None)
            now = self._now()
            return await read_answer(response, max_bytes=max_bytes), now

    def _endpoint(self, settings: InstanceSettings) -> Endpoint:
        endpoint = self._endpoints.get(settings.name)
        if endpoint is None or endpoint.settings is not settings:
            endpoint = self._endpoints[settings.name] = Endpoint(settings, user_agent=self._user_agent)
        return endpoint
