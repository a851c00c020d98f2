"""Which kept connection may carry a call, so that no answer is ever taken for the answer to another call.

HTTP/1.1 tells answers apart by their order alone. A far end (or a proxy before it) that answers one request twice
shifts every later answer by one: a create is recorded under the id of another, a refusal of one job buries the next.

 1. *Silence.* Bytes that come while nothing was asked end the connection. Just before a call the connection is looked
    at once more: no whole answer, no part of one, nothing unread in the socket.
 2. *Proof.* A surplus answer can still be under way while the next request leaves. So a connection is kept for another
    call only after an answer that named its own job (`answers.Names`), and a success on a kept connection counts only
    if it names this one, by something that no earlier call on this connection had in common with it (`Use.subjects`).
    Creates and updates do not share connections.
 3. *A connection of its own* for every call that could not be proved so: look-ups (an empty list names nobody), and all
    calls to an instance whose last answer named nothing.

Always a new connection would be simpler; it costs a call 0.25 to 0.4 ms of CPU without and 1.4 to 1.9 ms with TLS
(kept: 0.3 to 0.45 ms, Python 3.11), which is as much as all the rest of a job.

It overrides three members of aiohttp that are not public (`_get`, `_release`, `_factory`); a test holds them.
"""

import asyncio
import select
from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from oppsync_worker.departures import current

if TYPE_CHECKING:
    import ssl

    from aiohttp.client_reqrep import ClientRequest, ConnectionKey
    from aiohttp.tracing import Trace

USE: Final = "connection_use"
"""Request extension: the call's `Use`."""

KEEPALIVE_SECONDS: Final = 4.0
"""Idle connections are dropped after this: before Node's default of 5 s, whose close would race our next create."""

_MOST_CALLS: Final = 200
"""A connection is replaced after so many calls, so that what it remembers of them stays small."""
_LOOKED_AT: Final = 16
"""How many idle connections are tried before a new one is made."""

_BOUNDARY: Final = b"HTTP/1.1 204 =\r\n\r\n"
"""Given to the parser of the call before: it comes out whole only if that has nothing half read."""


@dataclass(slots=True)
class Use:
    """How one call uses its connection: what it asks for, and what came of it."""

    kind: str = ""
    """Calls of other kinds do not share a connection."""
    subjects: tuple[Hashable, ...] = ()
    """What an answer could name this call by."""
    distinct: tuple[Hashable, ...] | None = None
    """Those of them that no earlier call on a kept connection may have had. None: a connection of its own."""
    kept: bool = field(default=False, init=False)
    """Whether the connection had carried another call."""
    shared: frozenset[Hashable] = field(default=frozenset(), init=False)
    """Those of the subjects that an earlier call on it had as well."""
    _protocol: "WatchedHandler | None" = field(default=None, init=False)

    @property
    def early(self) -> bool:
        """Whether the answer began before the request was sent in full, so that it may be the answer to nothing."""
        return self._protocol is not None and self._protocol.early

    def begin(self, protocol: "WatchedHandler") -> None:
        """Take a connection, new or kept."""
        self.kept = bool(protocol.calls)
        self.shared = frozenset(protocol.carried.intersection(self.subjects))
        protocol.calls += 1
        protocol.kind = self.kind
        protocol.leaves = current()
        protocol.carried.update(self.subjects)
        protocol.vouched = False
        self._protocol = protocol

    def settle(self, *, keep: bool) -> None:
        """Let another call have the connection, or close it; without this word it is not used again."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        if keep and not protocol.early and protocol.calls < _MOST_CALLS:
            protocol.vouched = True
        else:
            protocol.close()


CURRENT: ContextVar[Use] = ContextVar("connection_use")


class WatchedHandler(ResponseHandler):
    """One connection, which knows what it has carried and whether anything came that nobody had asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.calls = 0
        self.kind = ""
        self.carried: set[Hashable] = set()
        self.vouched = False
        self.resting = False
        self.early = False
        self.leaves = current()
        self._asked = False

    def set_response_params(self, **params: Any) -> None:
        """A call begins."""
        self.resting = self._asked = False
        if self._tail:  # on a new connection: a far end that speaks first
            self.early = True
        super().set_response_params(**params)

    def start_timeout(self) -> None:
        """The request was handed to the socket in full."""
        self._asked = True
        self.leaves()
        super().start_timeout()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if data and self.resting:
            self.close()
            return
        if data and not self._asked:
            self.early = True
        super().data_received(data)

    def silent(self) -> bool:
        """Whether nothing came since the last answer, not even a part of something."""
        if not self.is_connected() or self.should_close or self._parser is None:
            return False
        try:
            messages, upgraded, tail = self._parser.feed_data(_BOUNDARY)
        except Exception:  # noqa: BLE001 - whatever the parser says of it, something was left
            return False
        if len(messages) != 1 or (messages[0][0].code, messages[0][0].reason) != (204, "=") or upgraded or tail:
            return False
        wire = None if self.transport is None else self.transport.get_extra_info("socket")
        if wire is None:
            return False
        unread = select.poll()
        unread.register(wire.fileno(), select.POLLIN | select.POLLHUP)
        return not unread.poll(0)


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which gives a call only a connection that may carry it."""

    def __init__(self, *, ssl_context: "ssl.SSLContext") -> None:
        # No limit: the budget and the worker's concurrency bound the calls, and nobody waits for a connection.
        super().__init__(limit=0, ssl=ssl_context, keepalive_timeout=KEEPALIVE_SECONDS)
        self._factory = cast("partial[ResponseHandler]", partial(WatchedHandler, loop=self._loop))

    async def connect(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """A connection for the call that is under way."""
        connection = await super().connect(req, traces, timeout)
        if isinstance(connection.protocol, WatchedHandler):
            CURRENT.get(Use()).begin(connection.protocol)
        return connection

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> Connection | None:  # noqa: ARG002 - aiohttp's
        use = CURRENT.get(None)
        kept = self._conns.get(key)
        if use is None or use.distinct is None or not kept:
            return None
        for entry in [*islice(kept, _LOOKED_AT)]:
            protocol, since = entry
            if not protocol.is_connected():
                kept.remove(entry)
                continue
            if not (
                isinstance(protocol, WatchedHandler)
                and protocol.vouched
                and protocol.kind == use.kind
                and protocol.carried.isdisjoint(use.distinct)
            ):
                continue
            kept.remove(entry)
            if monotonic() - since <= KEEPALIVE_SECONDS and protocol.silent():
                self._acquired.add(protocol)
                break
            protocol.close()
        else:
            protocol = None
        if not kept:
            del self._conns[key]
        return None if protocol is None else Connection(self, key, protocol, self._loop)

    def _release(self, key: "ConnectionKey", protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, WatchedHandler):
            protocol.resting = True
        super()._release(key, protocol, should_close=should_close)
