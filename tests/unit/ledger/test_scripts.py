"""Running scripts from asyncio."""

from typing import Any

import pytest
import redis

from oppsync_worker.ledger.scripts import Call, run_async, run_many_async


class Lost:
    """A client whose connection was closed while nobody used it, under uvloop."""

    async def evalsha(self, *_: object) -> Any:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def pipeline(self, **_: object) -> "Lost":
        return self

    async def execute(self, **_: object) -> Any:
        return await self.evalsha()


class Pipe(Lost):
    """Its pipeline."""

    def evalsha(self, *_: object) -> Any:
        return self

    async def execute(self, **_: object) -> Any:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def test_a_connection_that_uvloop_calls_closed_is_lost_like_any_other() -> None:
    """Who retries on Redis' errors must retry on this one, or a job is given up in the middle."""
    call = Call("present", ("w", 1))

    with pytest.raises(redis.ConnectionError):
        await run_async(Lost(), call)  # type: ignore[arg-type]
    with pytest.raises(redis.ConnectionError):
        await run_many_async(Pipe(), [call])  # type: ignore[arg-type]
