"""CrmClient: one call, one request, one answer.

It never retries, follows or remembers anything: what becomes of the job after an error is decided above, from the
error's class alone. Every error but a cancellation leaves here as an `AttemptError`; so a caller that has recorded
"sending" always learns whether the request can have been carried out.

It logs nothing. httpx would log every URL at INFO; the token is never part of the URL that httpx sees (`transport`).
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import NoReturn, Self

import httpx

from oppsync_worker.contract.jobs import AnyJob, UpdateOpportunity
from oppsync_worker.crm.answers import Expected, Record
from oppsync_worker.crm.body import Answer, read_answer
from oppsync_worker.crm.classify import classify_answer, classify_failure
from oppsync_worker.crm.endpoint import Endpoint
from oppsync_worker.crm.payloads import opportunity_body
from oppsync_worker.crm.transport import AiohttpTransport
from oppsync_worker.errors import NotSent, Seen
from oppsync_worker.instances import InstanceSettings


def _utc_now() -> datetime:
    return datetime.now(UTC)


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


class CrmClient:
    """The worker process's one client, for all instances. Connections are made at the first call, on its loop."""

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Make a client; nothing is opened yet.

        Args:
            transport: for tests; another transport may break the promise of `NotSent` (see `transport`).
            ssl_context: the authorities to trust, if not the default ones.
            now: the time, for a `Retry-After` that is a date.
        """
        self._http = _CookielessClient(
            transport=transport or AiohttpTransport(ssl_context=ssl_context),
            trust_env=False,
            follow_redirects=False,
        )
        self._user_agent = f"opportunity-sync/{metadata.version('opportunity-sync')}"
        self._now = now
        self._endpoints: dict[str, Endpoint] = {}

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; safe to call twice."""
        await self._http.aclose()

    async def send(
        self,
        job: AnyJob,
        settings: InstanceSettings,
        *,
        marker: str | None,
        opportunity_id: int | None = None,
    ) -> Record:
        """Carry one job to the CRM: `POST /crmopportunity` for a create, `PUT /crmopportunity/ID` for an update.

        Args:
            job: what to send.
            settings: where and how; a changed object for the same name (a new token) takes effect at once.
            marker: see `payloads.opportunity_body`.
            opportunity_id: which record an update means, when the job names it by `external_ref` only.

        Raises:
            AttemptError: the subclass says what becomes of the job.
            ValueError: an update without an id, which is the caller's mistake; nothing was sent.
        """
        target = None
        if isinstance(job, UpdateOpportunity) and (target := opportunity_id or job.opportunity_id) is None:
            raise ValueError("an update needs the id of its opportunity")
        expected = Expected.of(job, opportunity_id=target)
        secrets = _words_of(job)
        request: httpx.Request | None = None
        try:
            endpoint = self._endpoint(settings)
            secrets += endpoint.secrets
            request = endpoint.request(
                "POST" if target is None else "PUT",
                "/crmopportunity" if target is None else f"/crmopportunity/{target}",
                query={"id": job.funnel_id},
                body=opportunity_body(job, settings, marker=marker),
            )
            answer = await self._call(request, deadline_seconds=settings.call_seconds)
        except Exception as error:  # noqa: BLE001 - classified, every one
            failure = classify_failure(job.kind, error, began=request is not None, secrets=secrets)
        else:
            return classify_answer(answer, expected=expected, now=self._now(), secrets=secrets)
        # Raised out here, so that it does not drag along (`__context__`) an error whose text nobody has redacted.
        raise failure

    async def _call(self, request: httpx.Request, *, deadline_seconds: float) -> Answer:
        """Send one request and read its answer within a deadline over all of it, which httpx itself does not have."""
        if self._http.is_closed:
            raise NotSent(Seen(None, "the client is closed"))
        async with asyncio.timeout(deadline_seconds):
            return await read_answer(await self._http.send(request, stream=True, auth=None))

    def _endpoint(self, settings: InstanceSettings) -> Endpoint:
        endpoint = self._endpoints.get(settings.name)
        if endpoint is None or endpoint.settings is not settings:
            endpoint = self._endpoints[settings.name] = Endpoint(settings, user_agent=self._user_agent)
        return endpoint


def _words_of(job: AnyJob) -> tuple[str, ...]:
    """The job's own texts, which a refusal may quote: they can name people."""
    fields = (job.fields or {}).values()
    return (*([job.title] if job.title else []), *(text for text in fields if isinstance(text, str)))
