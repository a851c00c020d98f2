"""What an answer, or its absence, means: the only place that reads a status or a body.

    what came back                                    create (POST)       update (PUT)        look-up
    2xx that proves it (`answers`, `listings`)        Record              Record              Listing
    2xx that does not: not JSON, no id, too large,    AnswerLost          Unavailable         Unavailable
        another lead, column, title or marker
    401 with "too many requests", 429                 Throttled           Throttled           Throttled
    other 401, 403                                    CredentialRefused   CredentialRefused   CredentialRefused
    301, 308                                          Rejected            Rejected            Rejected
    408, 425, other 3xx, 1xx, 5xx, no HTTP status     AnswerLost          Unavailable         Unavailable
    400, 404, 409, 413, 422, other 4xx                Rejected            Rejected            Rejected
    DNS, connect, TLS, pool: nothing was sent         NotSent             NotSent             NotSent
    timeout or reset after that, our own deadline     AnswerLost          Unavailable         Unavailable

No error of a look-up says that a record is absent, a Rejected one as little as any: SprintHub answers 400 for a lead
without records, and for a list that it cannot give just now. Of the 2xx only 200, and 201 as an answer to POST, prove a
list: others (202, 206) say of themselves that they are not all of it.

Redirects are never followed: the token must not travel to a host that nobody configured. 301 and 308 say for good that
the base URL is wrong, and the far end did nothing; 302 and 303 are also how a server answers *after* doing the work, so
they prove nothing. 408 and 425 ask for the same request again (RFC 9110, 15.5.9; RFC 8470, 5.2), which makes them no
reason to bury a job, while gateways send 408 for a slow upstream too, which makes them no proof for a create.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx

from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Expected, Record, Unreadable, figure, read_record
from oppsync_worker.crm.body import NOT_JSON, Answer, read_json
from oppsync_worker.crm.http_date import ahead_s
from oppsync_worker.crm.listings import Listing, read_listing
from oppsync_worker.crm.redact import MAX_TEXT_CHARS, redact
from oppsync_worker.crm.retry_after import retry_after_seconds
from oppsync_worker.crm.seen import messages_of, seen_in
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    NotSent,
    Rejected,
    Seen,
    Throttled,
    Unavailable,
)

T = TypeVar("T")

_TOO_MANY: Final = re.compile(r"too[\s_-]{0,3}many[\s_-]{0,3}requests", re.IGNORECASE)
_READ_BYTES: Final = 65_536
_WRONG_ADDRESS: Final = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT)
_ASKS_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)
_LISTS_ALL: Final = (HTTPStatus.OK, HTTPStatus.CREATED)

_NOTHING_WAS_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
"""Failures that come before the first byte, with our own transport and with httpcore's. `InvalidURL` is not one of
them: httpx also raises it over a redirect's `Location`, which arrives after the request was carried out.

Not with every transport: httpx-aiohttp 0.2 calls a connection that the server dropped after reading the request a
`ConnectTimeout`, which would send a create twice. See `transport`.
"""


def classify_answer(answer: Answer, *, expected: Expected, now: datetime, secrets: Iterable[str] = ()) -> Record:
    """The record that an answer proves.

    Args:
        answer: what came back.
        expected: the request's own facts.
        now: the time at which the answer came, for a `Retry-After` that is a date.
        secrets: texts that must not be repeated: the token, and the words of the job.

    Raises:
        AttemptError: the subclass says what becomes of the job.
    """
    read = partial(read_record, expected=expected, status=answer.status)
    return _classify(answer, read, kind=expected.kind, now=now, secrets=secrets)


def classify_listing(
    answer: Answer, *, sought: Sought, page: int | None, now: datetime, secrets: Iterable[str] = ()
) -> Listing:
    """The list that an answer to a look-up shows.

    Args:
        answer: what came back.
        sought: what every row is compared with.
        page: see `listings.read_listing`.
        now: the time at which the answer came.
        secrets: texts that must not be repeated.

    Raises:
        AttemptError: of whatever class, it says nothing about what is sought.
    """

    def read(document: Any) -> Listing:
        if answer.status not in _LISTS_ALL:
            raise Unreadable("a success that is not the whole answer")
        ahead = ahead_s(answer.headers.get("date"), now=now)
        return read_listing(document, sought=sought, page=page, crm_ahead_s=ahead)

    return _classify(answer, read, kind=None, now=now, secrets=secrets)


def _classify(
    answer: Answer, read: Callable[[Any], T], *, kind: Kind | None, now: datetime, secrets: Iterable[str]
) -> T:
    document = read_json(answer.body) if answer.complete else NOT_JSON
    words = None
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        try:
            return read(document)
        except Unreadable as error:
            words = str(error) if answer.complete else "too large an answer"
    wait = retry_after_seconds(answer.headers.get("retry-after"), now=now)
    if words is not None:
        raise _unsettled(kind)(Seen(answer.status, words), retry_after_s=wait)
    raise _refusal(answer, document, kind=kind, wait=wait, secrets=secrets)


def classify_failure(
    kind: Kind | None, error: Exception, *, began: bool = True, secrets: Iterable[str] = ()
) -> AttemptError:
    """What it means that no whole answer came.

    Args:
        kind: the job's; None for a look-up.
        error: what was raised instead; anything that is no proof of the contrary counts as sent.
        began: False when the request was not even complete, whatever the error.
        secrets: texts that must not be repeated.
    """
    if isinstance(error, AttemptError):
        return error
    if began and isinstance(error, asyncio.TimeoutError):
        return _unsettled(kind)(Seen(None, "no whole answer within the call's deadline"))
    seen = Seen(None, redact(f"{type(error).__name__}: {_words(error)}".rstrip(": "), secrets=secrets))
    return _unsettled(kind)(seen) if began and not isinstance(error, _NOTHING_WAS_SENT) else NotSent(seen)


def stray(kind: Kind | None, answer: Answer, words: str) -> AttemptError:
    """An answer that may be the answer to another request (`connections`): what became of this one is not known."""
    return _unsettled(kind)(Seen(answer.status, words))


def _refusal(
    answer: Answer, document: Any, *, kind: Kind | None, wait: float | None, secrets: Iterable[str]
) -> AttemptError:
    status, seen = answer.status, seen_in(answer, document, secrets=secrets)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.UNAUTHORIZED and _says_too_many(answer, document)
    ):
        figures = document if isinstance(document, dict) else {}
        usage, limit = figure(figures.get("usage")), figure(figures.get("limite"))
        # Told along: it is what the pace is lowered by.
        said = [f"{name} {value}" for name, value in (("usage", usage), ("limite", limit)) if value is not None]
        figures_told = f" ({', '.join(said)})" if said else ""
        told = Seen(status, seen.text[: MAX_TEXT_CHARS - len(figures_told)] + figures_told)
        return Throttled(told, retry_after_s=wait, usage=usage, limit=limit or None)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return CredentialRefused(seen, retry_after_s=wait)
    if status in _WRONG_ADDRESS:
        return Rejected(Seen(status, "the API is at another address: the instance's base_url is wrong"))
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _ASKS_AGAIN:
        return Rejected(seen, retry_after_s=wait)
    return _unsettled(kind)(seen, retry_after_s=wait)


def _unsettled(kind: Kind | None) -> type[AnswerLost | Unavailable]:
    """The request may have been carried out: a create is in doubt, an update or a look-up is safely sent again."""
    return AnswerLost if kind is Kind.CREATE else Unavailable


def _says_too_many(answer: Answer, document: Any) -> bool:
    """SprintHub's throttle differs from a bad token by these words only; case varies between instances."""
    texts = messages_of(document) or [answer.body[:_READ_BYTES].decode(errors="replace")]
    return any(_TOO_MANY.search(text) for text in texts)


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error whose text raises is still that error
        return ""
