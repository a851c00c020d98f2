"""A TCP proxy on loopback that can be told to misbehave: what stands between a worker and its Redis in fault proofs.

    flowing   every byte is passed on
    frozen    connections stay open and nothing passes: a half-open link, a firewall that forgot the connection
    mute      what is asked passes, and no answer comes back
    refusing  nobody listens: connections in progress are cut, new ones are refused

`cut` ends every connection at once, as a broken cable that was mended does. `forget` leaves those that are there
half-open for good, while new ones work: a firewall that lost its table. It runs in a thread of its own, so that whoever
drives it may block.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from oppsync_ops.connections import Connections, Listener, Stream
from oppsync_ops.redis_server import free_port

CHUNK: Final = 65_536
PATIENCE_S: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST, as a host that lost its state does."""


class Proxy:
    """Passes a port of loopback on to another; the port stays the same whatever the mode."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="oppsync-proxy", daemon=True)
        self._listener: Listener | None = None
        self._flowing = asyncio.Event()
        self._answering = asyncio.Event()
        self._forgotten: list[asyncio.Event] = []
        self._accepted = Connections()
        self._behind = Connections()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    def start(self) -> None:
        """Listen on a free port, flowing."""
        self._thread.start()
        self._run(self._begin())

    def stop(self) -> None:
        """End everything. Once is enough; again changes nothing."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()

    def flow(self) -> None:
        """Everything passes again, also what was held back on connections that are still there."""
        self._run(self._flow())

    def freeze(self) -> None:
        """Pass nothing on, and close nothing."""
        self._run(self._freeze())

    def mute(self) -> None:
        """Pass on what is asked, and hold back every answer."""
        self._run(self._mute())

    def forget(self) -> None:
        """Pass nothing on, ever, over the connections that are there now; new ones work."""
        self._run(self._forget())

    def refuse(self) -> None:
        """Stop listening, and cut what is connected."""
        self._run(self._refuse())

    def retarget(self, port: int) -> None:
        """Pass on to another port from now on; connections in progress are cut."""
        self._target_port = port
        self.cut()

    def cut(self) -> int:
        """End every connection with a reset; how many there were."""
        return int(self._run(self._cut()))

    def lead_to(self, target_port: int) -> int:
        """Pass on to another port from now on, and end every connection: an address that moves. How many there were."""
        self._target_port = target_port
        return self.cut()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _begin(self) -> None:
        self._flowing.set()
        self._answering.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._listener is None:
            bound = self._bound()
            self._listener = Listener(bound, lambda: Stream(self._accepted, self._accept))
            self.port = self._listener.port

    def _bound(self) -> socket.socket:
        while True:
            try:
                return socket.create_server(("127.0.0.1", self.port or free_port()))
            except OSError as error:
                # Somebody else was given the port in between; one that was ours already must stay the same.
                if self.port or error.errno != errno.EADDRINUSE:
                    raise

    async def _flow(self) -> None:
        self._flowing.set()
        self._answering.set()
        await self._listen()

    async def _freeze(self) -> None:
        self._flowing.clear()
        await self._listen()

    async def _mute(self) -> None:
        self._answering.clear()
        await self._listen()

    async def _forget(self) -> None:
        self._flowing.clear()
        self._forgotten.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await listener.settled()
        await self._cut()

    async def _cut(self) -> int:
        cut = self._accepted.transports
        for transport in [*cut, *self._behind.transports]:
            endpoint = transport.get_extra_info("socket")
            if endpoint is not None:
                with contextlib.suppress(OSError):
                    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        return len(cut)

    async def _end(self) -> None:
        await self._refuse()
        for held in [*self._forgotten, self._flowing, self._answering]:
            held.set()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for connections in (self._accepted, self._behind):
            await connections.end()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            transport, stream = await self._loop.create_connection(
                lambda: Stream(self._behind), "127.0.0.1", self._target_port
            )
        except OSError:
            # Whoever is behind us is not there: what a client would have been told without us.
            writer.transport.abort()
            return
        back = asyncio.StreamWriter(transport, stream, stream.reader, self._loop)
        flowing = self._flowing
        asked = self._pass(reader, back, flowing)
        answered = self._pass(stream.reader, writer, flowing, self._answering)
        await asyncio.gather(asked, answered, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                for gate in gates:
                    await gate.wait()
                writer.write(chunk)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            # One side has gone: a frozen link does not tell the other side so.
            for gate in gates:
                await gate.wait()
            writer.close()


@contextlib.contextmanager
def proxied(target_port: int) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts."""
    proxy = Proxy(target_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
