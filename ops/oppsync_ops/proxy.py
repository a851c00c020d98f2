"""A TCP proxy on loopback that can be told to misbehave: what stands between a worker and its Redis in fault proofs.

    flowing   every byte is passed on
    frozen    connections stay open and nothing passes: a half-open link, a firewall that forgot the connection
    refusing  nobody listens: connections in progress are cut, new ones are refused

`cut` ends every connection at once, as a broken cable that was mended does. `forget` leaves those that are there
half-open for good, while new ones work: a firewall that lost its table. It runs in a thread of its own, so that whoever
drives it may block.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final

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
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._forgotten: list[asyncio.Event] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    def start(self) -> None:
        """Listen on a free port, flowing."""
        self._thread.start()
        self._run(self._begin())

    def stop(self) -> None:
        """End everything."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def flow(self) -> None:
        """Everything passes again, also what was held back on connections that are still there."""
        self._run(self._flow())

    def freeze(self) -> None:
        """Pass nothing on, and close nothing."""
        self._run(self._freeze())

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

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _begin(self) -> None:
        self._flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)
            self.port = int(self._server.sockets[0].getsockname()[1])

    async def _flow(self) -> None:
        self._flowing.set()
        await self._listen()

    async def _freeze(self) -> None:
        self._flowing.clear()
        await self._listen()

    async def _forget(self) -> None:
        self._flowing.clear()
        self._forgotten.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> int:
        writers, self._open = self._open, set()
        for writer in writers:
            endpoint = writer.get_extra_info("socket")
            if endpoint is not None:
                with contextlib.suppress(OSError):
                    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(writers) // 2

    async def _end(self) -> None:
        await self._refuse()
        for held in [*self._forgotten, self._flowing]:
            held.set()
        passing = list(self._passing)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            # Whoever is behind us is not there: what a client would have been told without us.
            writer.transport.abort()
            return
        self._open |= {writer, back}
        flowing = self._flowing
        ways = [self._loop.create_task(self._pass(*way, flowing)) for way in ((reader, back), (there, writer))]
        self._passing.update(ways)
        for way in ways:
            way.add_done_callback(self._passing.discard)
        await asyncio.gather(*ways, return_exceptions=True)
        self._open -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                await flowing.wait()
                writer.write(chunk)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            # One side has gone: a frozen link does not tell the other side so.
            await flowing.wait()
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
