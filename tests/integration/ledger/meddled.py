"""Connections of producers between whose commands something else happens, in one pipeline too."""

from collections.abc import Callable, Iterable
from typing import Any

import redis
import redis.asyncio

from oppsync import JobClient

Between = Callable[[int], None]
"""Called before each command, with its place in the pipeline."""


class MeddledConnection(redis.Connection):
    """Sends the commands of a pipeline one by one, and lets others act in between."""

    def __init__(self, *, between: Between, **given: Any) -> None:
        super().__init__(**given)
        self._between = between

    def pack_commands(self, commands: Iterable[Any]) -> list[bytes]:
        """Each command apart."""
        return [b"".join(self._command_packer.pack(*command)) for command in commands]

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        """A list is a pipeline: Redis has carried out each command before the next is sent."""
        if not isinstance(command, list) or len(command) == 1:
            super().send_packed_command(command, check_health)
            return
        for place, one in enumerate(command):
            self._between(place)
            super().send_packed_command([one], check_health)


class MeddledAsyncConnection(redis.asyncio.Connection):
    """The same, for asyncio."""

    def __init__(self, *, between: Between, **given: Any) -> None:
        super().__init__(**given)
        self._between = between

    def pack_commands(self, commands: Iterable[Any]) -> list[bytes]:
        """Each command apart."""
        return [b"".join(self.pack_command(*command)) for command in commands]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """A list is a pipeline: Redis has carried out each command before the next is sent."""
        if not isinstance(command, list) or len(command) == 1:
            await super().send_packed_command(command, check_health)
            return
        for place, one in enumerate(command):
            self._between(place)
            await super().send_packed_command([one], check_health)


def meddled_async(url: str, between: Between) -> redis.asyncio.Redis:
    """A worker's client whose commands somebody else's come between."""
    pool = redis.asyncio.ConnectionPool.from_url(url, connection_class=MeddledAsyncConnection, between=between)
    return redis.asyncio.Redis.from_pool(pool)


def meddled(url: str, between: Between) -> JobClient:
    """A producer whose commands somebody else's come between.

    What `between` does over a connection of its own comes after what was sent before: loopback has delivered that when
    it returns, and Redis reads connections in the order in which they got something to read.
    """
    client = JobClient(url)
    kwargs = {"between": between, **client._redis.connection_pool.connection_kwargs}
    client._redis = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=MeddledConnection, **kwargs))
    return client
