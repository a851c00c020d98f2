"""Where Redis is, and the words for when it is not to be had.

LedgerError
├── NoRedisUrl        nothing says where Redis is         -> set REDIS_URL
└── LedgerUnavailable Redis is away, loading, read-only or full   -> try again; nothing is half-done
    └── LedgerRefused the ledger finds the call itself impossible -> a defect of ours; trying again changes nothing
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from redis import ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

EMBEDDED_URL_FILE: Final = Path(".oppsync") / "redis.url"
"""Where the embedded server of `oppsync` leaves its address, below the working directory."""

OURS: Final = frozenset({"decode_responses", "encoding", "encoding_errors", "protocol"})
"""Options of a connection that decide how answers are read: an address may not change them."""

CONNECT_TIMEOUT_S: Final = 3.0
ANSWER_TIMEOUT_S: Final = 5.0


class LedgerError(RuntimeError):
    """The ledger cannot be used; the text says why and what to do."""


class NoRedisUrl(LedgerError):
    """Nothing says where Redis is."""


class LedgerUnavailable(LedgerError):
    """Redis did not take the call. What was asked may be repeated: every script is safe to run twice."""


class LedgerRefused(LedgerUnavailable):
    """The ledger finds that the call would break its own rules, and has changed nothing."""


def redis_url(environ: Mapping[str, str] | None = None) -> str:
    """`REDIS_URL`, or the address of the embedded server when one was started below the working directory.

    Raises:
        NoRedisUrl: neither is there, or `REDIS_URL` is not a Redis address.
    """
    url = (os.environ if environ is None else environ).get("REDIS_URL", "").strip()
    if not url:
        embedded = _embedded_url()
        if embedded:
            return embedded
        raise NoRedisUrl(
            "REDIS_URL is not set: set it, for example to redis://127.0.0.1:6379/0, or run `oppsync redis start`"
        )
    return checked(url)


def checked(url: str, *, name: str = "REDIS_URL") -> str:
    """The address, if Redis' client can read it. What is wrong is told without quoting it: it may hold a password.

    Raises:
        NoRedisUrl: it cannot; `name` is what the text calls it.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise NoRedisUrl(f"{name} must begin with redis://, rediss:// or unix://")
    try:
        # Makes a connection, and does not open it: only that shows a wrong option.
        ConnectionPool.from_url(url, **connection_options(url)).make_connection()
        path, options = urlsplit(url).path.strip("/"), parse_qs(urlsplit(url).query)
    except (ValueError, TypeError, RedisError, OSError):
        raise NoRedisUrl(
            f"{name} is not a Redis address, or has an option that Redis' client does not know; it looks like "
            "redis://127.0.0.1:6379/0, and in its password @ : / ? # and % are written as %40 %3A %2F %3F %23 %25"
        ) from None
    if path and not path.isdecimal() and not url.startswith("unix://"):
        # The client would take it for database 0.
        raise NoRedisUrl(f"{name} must end in the number of a database, as in redis://127.0.0.1:6379/0")
    if fixed := OURS & options.keys():
        raise NoRedisUrl(f"{name} sets {', '.join(sorted(fixed))}, which this software sets by itself: leave it out")
    return url


def place(url: str) -> str:
    """Host and port of an address, or the path of its socket, as a host of a URL: nothing of user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return quote(parts.path, safe="")
    host = parts.hostname or "localhost"
    return f"[{host}]:{parts.port or 6379}" if ":" in host else f"{host}:{parts.port or 6379}"


def _embedded_url() -> str:
    try:
        owner, me = EMBEDDED_URL_FILE.stat().st_uid, os.geteuid()
        if owner == me or not me:
            return EMBEDDED_URL_FILE.read_text("utf-8").strip()
    except FileNotFoundError:
        return ""
    except PermissionError:
        pass
    # In a directory that others can write to, such as /tmp, it may lead to a server of theirs.
    raise NoRedisUrl(f"{EMBEDDED_URL_FILE} belongs to another user: set REDIS_URL, or go to a directory of your own")


def connection_options(url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """Bounded patience for every connection to that address: no call may hang because Redis does."""
    options = {
        # RESP2 needs no HELLO: one round trip less before the first command, and one less to wait for in vain.
        "protocol": 2,
        "socket_timeout": answer_timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    if url.startswith("unix://"):
        # Nothing lies between, which could go away in silence; the client refuses the option.
        del options["socket_keepalive"]
    return options


_NOT_PERMITTED: Final = (
    "Redis does not permit this user what the ledger needs: `oppsync redis acl` prints what each role needs"
)
_EXPLANATIONS: Final[tuple[tuple[type[RedisError], str], ...]] = (
    (BusyLoadingError, "Redis is still loading its data; try again in a moment"),
    (ReadOnlyError, "Redis is read-only: this is a replica, point REDIS_URL at the primary"),
    (OutOfMemoryError, "Redis is out of memory and refuses writes: raise maxmemory or drain the queues"),
    (AuthenticationError, "Redis refused the user or password in REDIS_URL"),
    (NoPermissionError, _NOT_PERMITTED),
)
_MARKS: Final = (
    ("MISCONF", "Redis cannot write its data to disk and refuses writes: look at its log and its disk"),
    ("OOM", "Redis is out of memory and refuses writes: raise maxmemory or drain the queues"),
    # Redis 6.2, and those after it.
    ("The user executing the script", _NOT_PERMITTED),
    ("ACL failure", _NOT_PERMITTED),
    ("NOPERM", _NOT_PERMITTED),
    ("READONLY", "Redis is read-only: this is a replica, point REDIS_URL at the primary"),
)


def is_of_another_type(error: object) -> bool:
    """Whether Redis refused because a key holds a value of another type: somebody has written to it by hand."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def explain(error: RedisError) -> str:
    """One line for a person: what is wrong with Redis, and what to do. Never holds the address or a password."""
    for kind, words in _EXPLANATIONS:
        if isinstance(error, kind):
            return words
    # Errors inside a script arrive as plain text.
    text = str(error).split("\n", maxsplit=1)[0]
    for mark, words in _MARKS:
        if mark in text:
            return words
    if isinstance(error, ResponseError):
        return f"Redis refused a command: {text[:100]}"
    return f"Redis is not answering ({type(error).__name__}): is it running, and is REDIS_URL right?"
