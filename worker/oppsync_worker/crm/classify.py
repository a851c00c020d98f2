"""What an answer, or its absence, means: the only place that reads a status or a body.

    what came back                                        create (POST)        update (PUT)
    2xx that proves it (`answers.read_record`)            Record               Record
    2xx that does not: not JSON, no id, too large         AnswerLost           Unavailable
    401 with "too many requests", 429                     Throttled            Throttled
    other 401, 403                                        CredentialRefused    CredentialRefused
    301, 308                                              Rejected             Rejected
    408, 425, other 3xx, 1xx, 5xx, no HTTP status         AnswerLost           Unavailable
    400, 404, 409, 413, 422, other 4xx                    Rejected             Rejected
    DNS, connect, TLS, pool: nothing was sent             NotSent              NotSent
    timeout or reset after that, our own deadline         AnswerLost           Unavailable

Redirects are never followed: the token must not travel to a host that nobody configured. 301 and 308 say for good that
the base URL is wrong, and the far end did nothing; 302 and 303 are also how a server answers *after* doing the work, so
they prove nothing. 408 and 425 ask for the same request again (RFC 9110, 15.5.9; RFC 8470, 5.2), which makes them no
reason to bury a job, while gateways send 408 for a slow upstream too, which makes them no proof for a create.
"""

import asyncio
import re
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Expected, Record, Unreadable, integer, read_record
from oppsync_worker.crm.body import NOT_JSON, Answer, read_json
from oppsync_worker.crm.redact import redact
from oppsync_worker.crm.retry_after import retry_after_seconds
from oppsync_worker.crm.seen import messages_of, seen_in
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

_TOO_MANY: Final = re.compile(r"too[\s_-]{0,3}many[\s_-]{0,3}requests", re.IGNORECASE)
_READ_BYTES: Final = 65_536
_WRONG_ADDRESS: Final = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT)
_ASKS_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)

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
    document = read_json(answer.body) if answer.complete else NOT_JSON
    words = None
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        try:
            return read_record(document, expected)
        except Unreadable as error:
            words = str(error) if answer.complete else "too large an answer"
    wait = retry_after_seconds(answer.headers.get("retry-after"), now=now)
    if words is not None:
        raise _unsettled(expected.kind)(Seen(answer.status, words), retry_after_s=wait)
    raise _refusal(answer, document, kind=expected.kind, wait=wait, secrets=secrets)


def classify_failure(kind: Kind, error: Exception, *, began: bool = True, secrets: Iterable[str] = ()) -> AttemptError:
    """What it means that no whole answer came.

    Args:
        kind: the job's.
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


def _refusal(answer: Answer, document: Any, *, kind: Kind, wait: float | None, secrets: Iterable[str]) -> AttemptError:
    status, seen = answer.status, seen_in(answer, document, secrets=secrets)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.UNAUTHORIZED and _says_too_many(answer, document)
    ):
        figures = document if isinstance(document, dict) else {}
        usage, limit = integer(figures.get("usage")), integer(figures.get("limite"))
        return Throttled(seen, retry_after_s=wait, usage=usage, limit=limit)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return CredentialRefused(seen, retry_after_s=wait)
    if status in _WRONG_ADDRESS:
        return Rejected(Seen(status, "the API is at another address: the instance's base_url is wrong"))
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _ASKS_AGAIN:
        return Rejected(seen, retry_after_s=wait)
    return _unsettled(kind)(seen, retry_after_s=wait)


def _unsettled(kind: Kind) -> type[AnswerLost | Unavailable]:
    """The request may have been carried out: a create is in doubt, an update is safely sent again."""
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
