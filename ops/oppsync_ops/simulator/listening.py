"""The listening socket, which can be taken away and given back on the same port.

The port is held by an anchor: a socket that is bound but never listens. While nobody listens, clients are refused,
yet no other process (nor a client's own outgoing connection) can be given the port.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from oppsync_ops.connections import Listener

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_BACKLOG = 4096


class Listening:
    """One address; open and closed at will."""

    def __init__(self, host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._listener: Listener | None = None
        self._stopped: list[Listener] = []
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self._family: socket.AddressFamily
        self._family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        if port:
            self._require_free(address)
        self._anchor = self._bound(address)
        self._address = self._anchor.getsockname()
        self.port: int = self._address[1]

    @property
    def open(self) -> bool:
        """Whether somebody listens."""
        return self._listener is not None

    def start(self) -> None:
        """Listen."""
        if self._listener is None:
            self._listener = Listener(self._bound(self._address), self._factory, backlog=_BACKLOG)

    def stop(self) -> None:
        """Refuse new connections; those that are open stay so."""
        if self._listener is not None:
            self._listener.close()
            self._stopped.append(self._listener)
            self._listener = None

    async def release(self) -> None:
        """Give the port back for good, and return when everything that was accepted is connected."""
        self.stop()
        self._anchor.close()
        for listener in self._stopped:
            await listener.settled()

    def _bound(self, address: tuple[object, ...]) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        try:
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return sock

    def _require_free(self, address: tuple[object, ...]) -> None:
        """Fail where SO_REUSEPORT would silently share the port with another simulator."""
        with socket.socket(self._family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
