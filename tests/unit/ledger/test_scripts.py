"""Running scripts from asyncio, and what they are given."""

import json
from typing import Any

import pytest
import redis

from oppsync_worker.ledger.scripts import Call, NotAnArgument, packed, run_async, run_many_async


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


def test_every_text_becomes_bytes() -> None:
    """A lone surrogate as its escape: within JSON that is the same text again."""
    text = json.dumps({"said": "\ud800 ç"}, ensure_ascii=False)

    whole, plain, number, share, raw = packed(Call("x", (text, "\udfff", 7, 0.5, b"\xff")))

    assert json.loads(whole) == {"said": "\ud800 ç"}
    assert (plain, number, share, raw) == (b"\\udfff", b"7", b"0.5", b"\xff")


@pytest.mark.parametrize("argument", [None, True, [], {}, object()])
def test_what_redis_has_no_form_for_is_named(argument: Any) -> None:
    """A defect of the caller's."""
    with pytest.raises(NotAnArgument, match=type(argument).__name__):
        packed(Call("settle", (argument,)))
