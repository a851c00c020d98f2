"""The one way in which commands reach Redis: bounded patience, no retries, errors in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from oppsync.client import JobClient
from oppsync_worker.ledger.connect import LedgerUnavailable, connection_options, explain, redis_url
from oppsync_worker.ledger.rights import check, judge
from oppsync_worker.ledger.scripts import run

_OFF: Final = "the embedded Redis of this directory does not answer: run `oppsync redis start`"


@contextmanager
def connected(*, acting: bool = False) -> Iterator[Redis]:
    """A connection for as long as the block lasts; to act on jobs, the rights of an operator are looked at first.

    Raises:
        RightsMissing: this Redis user may not do what an operator does.
        NoRedisUrl: nothing says where Redis is, or what says so is no address.
        LedgerUnavailable: Redis failed within the block.
    """
    url = redis_url()
    client = Redis.from_url(url, retry=Retry(NoBackoff(), 0), **connection_options(url))
    with client, in_words():
        if acting:
            judge("operator", run(client, check("operator")))
        yield client


@contextmanager
def job_client() -> Iterator[JobClient]:
    """The client that producers use. Raises as `connected` does."""
    with JobClient(redis_url()) as client, in_words():
        yield client


@contextmanager
def in_words() -> Iterator[None]:
    """Redis' errors as `LedgerUnavailable`; an embedded server that is not running is called by its name."""
    try:
        yield
    except LedgerUnavailable as error:
        if _embedded_is_off(error.__cause__):
            raise LedgerUnavailable(_OFF) from error
        raise
    except RedisError as error:
        if _embedded_is_off(error):
            raise LedgerUnavailable(_OFF) from error
        raise LedgerUnavailable(explain(error)) from error


def _embedded_is_off(error: BaseException | None) -> bool:
    silent = isinstance(error, RedisConnectionError | RedisTimeoutError)
    speaks = isinstance(error, BusyLoadingError | AuthenticationError)
    return silent and not speaks and not os.environ.get("REDIS_URL", "").strip()
