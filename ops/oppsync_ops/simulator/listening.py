"""The listening socket, which can be taken away and given back on the same port.

The port is held by an anchor: a socket that is bound but never listens. While nobody listens, clients are refused,
yet no other process (nor a client's own outgoing connection) can be given the port.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 4096


class Listening:
    """One address; open and closed at will."""

    def __init__(self, host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._server: asyncio.Server | None = None
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
        return self._server is not None

    async def start(self) -> None:
        """Listen."""
        if self._server is None:
            sock = self._bound(self._address)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._factory, sock=sock, backlog=_BACKLOG)

    def stop(self) -> None:
        """Refuse new connections; those that are open stay so."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def release(self) -> None:
        """Give the port back for good."""
        self.stop()
        self._anchor.close()

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
