"""A primary and its replica, behind a proxy that can be pointed at either, with a link between them that can freeze."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import redis

from oppsync_ops import redis_server
from oppsync_ops.processes import ProcessEnded
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.redis_server import RedisServer

LOOK_EVERY_S: Final = 0.02
SYNC_PATIENCE_S: Final = 30.0


class Pair:
    """A primary, its replica behind a link of its own, and the proxy through which everybody reaches the primary."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._servers = 0
        self.primary = self._server()
        self.front = stack.enter_context(proxied(self.primary.port))
        self.replica, self.link = self._attached()

    @property
    def url(self) -> str:
        """The primary's address, whichever server that is."""
        return self.primary.url.replace(f":{self.primary.port}", f":{self.front.port}")

    def client(self) -> redis.Redis:
        """Of the primary, past the proxy."""
        return _client(self.primary)

    def lag(self) -> None:
        """The replica hears nothing more of the primary, and does not know it."""
        self.link.freeze()

    def kill(self) -> None:
        """SIGKILL for the primary."""
        self.primary.kill()

    def promote(self) -> int:
        """The replica becomes the primary, and everybody is sent there. Answers up to which offset it had heard."""
        with _client(self.replica) as client:
            offset = int(client.info("replication")["slave_repl_offset"])
            client.execute_command("REPLICAOF", "NO", "ONE")
        self.primary = self.replica
        self.front.retarget(self.primary.port)
        return offset

    def renew(self) -> None:
        """Another replica, for the next time."""
        self.replica, self.link = self._attached()

    def _server(self) -> RedisServer:
        self._servers += 1
        server = redis_server.start(self._folder / f"redis-{self._servers}")
        self._stack.callback(server.stop)
        return server

    def _attached(self) -> tuple[RedisServer, Proxy]:
        link = self._stack.enter_context(_loose(self.primary.port))
        replica = self._server()
        with _client(replica) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", link.port)
            deadline = time.monotonic() + SYNC_PATIENCE_S
            while client.info("replication")["master_link_status"] != "up":
                if time.monotonic() > deadline:
                    raise ProcessEnded("the replica does not get in step with its primary")
                time.sleep(LOOK_EVERY_S)
        return replica, link


@contextmanager
def paired(folder: Path) -> Iterator[Pair]:
    """A primary and a replica in step with it, for as long as the block lasts."""
    with ExitStack() as stack:
        yield Pair(folder, stack)


@contextmanager
def _loose(port: int) -> Iterator[Proxy]:
    with proxied(port) as link:
        try:
            yield link
        finally:
            with suppress(TimeoutError):
                link.flow()


def _client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5, socket_connect_timeout=5, decode_responses=True)
