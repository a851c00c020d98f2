"""Calls in order, in one round trip: none takes effect before all ahead of it have. From threads and from asyncio."""

import secrets
from typing import Any, Final

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

from oppsync_worker.ledger.scripts import Call, a_lost_link_is_a_redis_error, queued, run, run_async

OUT_OF_TURN: Final = b"out of turn"
"""What `lua/enqueue.lua` answers when the call before it has not taken effect."""


class _Chain:
    """Calls in order, each of which takes effect only when the one before it has: see `lua/enqueue.lua`.

    Redis may forget its scripts between any two commands of a pipeline (a restart, `SCRIPT FLUSH`), and another client
    may teach it them again: of a plain pipeline some calls would be missed, and repeated after their successors.
    """

    def __init__(self, calls: list[Call]) -> None:
        self.left = calls
        self.answers: list[Any] = []
        self._with_text = False

    def queued(self, pipe: Any) -> Any:
        """What is left, as commands of a pipeline."""
        token = secrets.token_hex(8) if len(self.left) > 1 else ""
        chained = [Call(call.script, (token, place, *call.arguments[2:])) for place, call in enumerate(self.left)]
        return queued(pipe, chained, with_text=self._with_text)

    def take(self, answers: list[Any]) -> None:
        """Read what a pipeline has come to. Raises the error of a call; those after it have changed nothing."""
        done = next((index for index, one in enumerate(answers) if _missed(one)), len(answers))
        for answer in answers[:done]:
            if isinstance(answer, Exception):
                raise answer
        self.answers += answers[:done]
        self.left = self.left[done:]
        # Sent as text, the first of them cannot be missed.
        self._with_text = True


def _missed(answer: Any) -> bool:
    return isinstance(answer, NoScriptError) or answer in (OUT_OF_TURN, OUT_OF_TURN.decode())


def run_in_order(client: "redis.Redis", calls: list[Call]) -> list[Any]:
    """Run calls of `enqueue` in one round trip: none takes effect before all those ahead of it have.

    Raises:
        RedisError: of the first call that failed; it and those after it have changed nothing.
    """
    if len(calls) == 1:
        return [run(client, calls[0])]
    chain = _Chain(calls)
    while chain.left:
        chain.take(chain.queued(client.pipeline(transaction=False)).execute(raise_on_error=False))
    return chain.answers


async def run_in_order_async(client: "redis.asyncio.Redis", calls: list[Call]) -> list[Any]:
    """`run_in_order`, from asyncio."""
    if len(calls) == 1:
        return [await run_async(client, calls[0])]
    chain = _Chain(calls)
    with a_lost_link_is_a_redis_error():
        while chain.left:
            chain.take(await chain.queued(client.pipeline(transaction=False)).execute(raise_on_error=False))
    return chain.answers
