"""Tiny servers for the client's tests: each counts what reached it and then does one thing."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from oppsync_ops.connections import Connections, Listener, Stream

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"id":4534,"data":[]}'
"""A success for every kind of call: a record to a create or an update, an empty list to a look-up."""

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass
class Seen:
    """What reached the server."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def naming(request: bytes, *, opportunity_id: int = 4534) -> bytes:
    """A success that names the job of `request`, as SprintHub's does: without that, a connection is not kept."""
    sent = json.loads(request.partition(b"\r\n\r\n")[2] or b"{}")
    shown: object = {"id": opportunity_id, "lead_id": sent.get("lead_id"), "crm_column": sent.get("crm_column")}
    if request.startswith(b"PUT "):
        shown = {"msg": "", "data": {"id": int(request.split(b"?")[0].rpartition(b"/")[2])}}
    elif request.startswith(b"GET "):
        shown = []
    body = json.dumps(shown).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Wire:
    """One accepted connection, as the server's behaviour sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        self.reader, self.writer, self.seen = reader, writer, seen

    async def request(self) -> bytes:
        """Read one whole request; it raises when the client closes first."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        whole = head + (await self.reader.readexactly(int(length[1])) if length else b"")
        self.seen.requests.append(whole)
        return whole

    async def answer(self, data: bytes = OK) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with an RST instead of a FIN."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    behave: Callable[[Wire], Awaitable[None]], *, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[Seen]:
    """Serve on a free loopback port; every connection runs `behave` and is then closed."""
    seen = Seen()
    running: set[asyncio.Task[None]] = set()
    accepted = Connections()

    async def behaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await behave(Wire(reader, writer, seen))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        task = asyncio.get_running_loop().create_task(behaving(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    bound = socket.create_server(("127.0.0.1", 0))
    listener = Listener(bound, lambda: Stream(accepted, connected), ssl_context=ssl_context)
    seen.port = listener.port
    try:
        yield seen
    finally:
        listener.close()
        await listener.settled()
        await accepted.end()
        left = list(running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
