"""Listening, such that who stops can leave nothing behind.

`asyncio.Server` makes the transport of a connection that it has accepted a turn of the loop later. When it is closed
in between, the transport cannot be made, and its socket stays open; what it has accepted earlier is nobody's to close.
Here a connection is known from `accept` until its socket is closed.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 10.0
RETRY_S: Final = 0.5
"""When `accept` fails for want of descriptors or memory."""


class Listener:
    """Accepts connections on a socket that is bound. Needs the running event loop."""

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        backlog: int = 100,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """It listens at once, and owns the socket."""
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._factory = factory
        self._backlog = backlog
        self._ssl = ssl_context
        self._connecting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(backlog)
        self._resume()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening. What was accepted goes on."""
        if self._retry is not None:
            self._retry.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def settled(self) -> None:
        """Return when everything that was accepted is connected, or gone."""
        # A task that is cancelled before its first step would leave its socket open.
        await asyncio.sleep(0)
        connecting = list(self._connecting)
        if self._ssl is not None:
            # A handshake takes as long as the other side likes.
            for task in connecting:
                task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)

    def _resume(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(self._backlog):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # The socket stays readable: without a pause this would turn in circles.
                self._loop.remove_reader(self._socket)
                self._retry = self._loop.call_later(RETRY_S, self._resume)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        # A failed handshake, or a client that has gone: there is nobody to tell.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(self._factory, accepted, ssl=self._ssl)


class Connections:
    """What is connected to a server, which reports each protocol when it is connected and disconnected."""

    def __init__(self) -> None:
        self._open: dict[asyncio.BaseProtocol, asyncio.Transport] = {}
        self._empty: asyncio.Event | None = None

    @property
    def transports(self) -> list[asyncio.Transport]:
        """Of those that are open."""
        return list(self._open.values())

    def made(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """It is connected."""
        self._open[protocol] = transport

    def lost(self, protocol: asyncio.BaseProtocol) -> None:
        """It is connected no more."""
        self._open.pop(protocol, None)
        if self._empty is not None and not self._open:
            self._empty.set()

    async def end(self) -> None:
        """Abort every connection, and return when the last is closed. New ones must not come any more.

        Raises:
            TimeoutError: one is still open.
        """
        self._empty = asyncio.Event()
        for transport in self.transports:
            transport.abort()
        if self._open:
            async with asyncio.timeout(PATIENCE_S):
                await self._empty.wait()


class Stream(asyncio.StreamReaderProtocol):
    """A connection as a reader and a writer, known to its server."""

    def __init__(
        self,
        connections: Connections,
        connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None] | None = None,
    ) -> None:
        """`connected` is called once it is up."""
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(loop=loop)
        super().__init__(self.reader, connected, loop=loop)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is up."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: TCP has no other
        self._connections.made(self, transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        super().connection_lost(exc)
        self._connections.lost(self)
