"""CrmClient: one call, one request, one answer.

It never retries, follows or remembers anything: what becomes of the job after an error is decided above, from the
error's class alone. Every error but a cancellation leaves here as an `AttemptError`; so a caller that has recorded
"sending" always learns whether the request can have been carried out.

It logs nothing. httpx would log every URL at INFO; the token is never part of the URL that httpx sees (`transport`).
"""

import ssl
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from functools import partial
from typing import Self

import httpx

from oppsync_worker.contract.jobs import AnyJob, UpdateOpportunity
from oppsync_worker.contract.names import Kind
from oppsync_worker.crm import lookups
from oppsync_worker.crm.answers import Expected, Names, Record
from oppsync_worker.crm.body import MAX_ANSWER_BYTES
from oppsync_worker.crm.classify import classify_answer, classify_listing
from oppsync_worker.crm.endpoint import Endpoint
from oppsync_worker.crm.exchange import Ask, Exchange
from oppsync_worker.crm.listings import Listing
from oppsync_worker.crm.payloads import opportunity_body
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.instances import InstanceSettings


def _utc_now() -> datetime:
    return datetime.now(UTC)


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
            now: the time, for a `Retry-After` that is a date, and to compare the CRM's clock with.
        """
        self._exchange = Exchange(transport=transport, ssl_context=ssl_context, now=now)

    async def __aenter__(self) -> Self:
        await self._exchange.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; safe to call twice."""
        await self._exchange.aclose()

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
        expected = Expected.of(job, opportunity_id=target, marker=marker, marker_field=settings.marker_field)

        def make(endpoint: Endpoint) -> httpx.Request:
            return endpoint.request(
                "POST" if target is None else "PUT",
                "/crmopportunity" if target is None else f"/crmopportunity/{target}",
                query={"id": job.funnel_id},
                body=opportunity_body(job, settings, marker=marker),
            )

        read = partial(classify_answer, expected=expected)
        words = _words_of(job)
        return await self._exchange.ask(
            settings,
            make,
            read,
            kind=job.kind,
            words=words,
            max_bytes=MAX_ANSWER_BYTES,
            subjects=_subjects(expected),
        )

    async def look_by_lead(self, settings: InstanceSettings, lead_id: int, *, sought: Sought) -> Listing:
        """List a lead's records: `GET /listopportunitysleadcomplete/LEAD_ID`.

        Raises:
            AttemptError: nothing is known then; least of all does `Rejected` say that there are none.
        """
        return await self._look(settings, partial(lookups.by_lead, lead_id=lead_id), sought=sought, page=None)

    async def look_by_column(
        self, settings: InstanceSettings, *, funnel_id: int, column_id: int, page: int, archived: bool, sought: Sought
    ) -> Listing:
        """List one page of a column's records: `POST /crm/opportunities/FUNNEL`.

        Args:
            settings: where and how.
            funnel_id: the column's funnel.
            column_id: which column.
            page: counted from 0; another one may follow a listing that is not `whole`.
            archived: True lists the archived records, and no others.
            sought: what every record is compared with.

        Raises:
            AttemptError: nothing is known then.
        """
        make = partial(lookups.by_column, funnel_id=funnel_id, column_id=column_id, page=page, archived=archived)
        return await self._look(settings, make, sought=sought, page=page)

    async def _look(self, settings: InstanceSettings, make: Ask, *, sought: Sought, page: int | None) -> Listing:
        read = partial(classify_listing, sought=sought, page=page)
        words, most = (sought.title,), lookups.MAX_LIST_BYTES
        return await self._exchange.ask(settings, make, read, kind=None, words=words, max_bytes=most)


def _subjects(expected: Expected) -> dict[Names, Hashable]:
    """What an answer can name the call by, and no other call on the same connection may have in common with it.

    Without the instance: an answer does not say whose it is.
    """
    if expected.kind is Kind.UPDATE:
        return {Names.RECORD: expected.opportunity_id}
    subjects: dict[Names, Hashable] = {}
    if expected.marker is not None and expected.marker_field is not None:
        subjects[Names.MARKER] = expected.marker
    if expected.lead_id is not None:
        subjects[Names.RECORD] = (expected.lead_id, expected.crm_column)
    return subjects


def _words_of(job: AnyJob) -> tuple[str, ...]:
    """The job's own texts, which a refusal may quote: they can name people."""
    fields = (job.fields or {}).values()
    return (*([job.title] if job.title else []), *(text for text in fields if isinstance(text, str)))
