"""Running the Lua scripts (`assembly`), from threads and from asyncio alike.

A script is run by its digest; a Redis that does not know it (after a restart, or SCRIPT FLUSH) answers NOSCRIPT and
gets the text. Both runners share `Call`, so a caller is written once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

from oppsync_worker.ledger.assembly import load

Argument = str | int | float | bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script: its name under `lua/` and its arguments."""

    script: str
    arguments: tuple[Argument, ...]


class NotAnArgument(TypeError):
    """Something was to be handed to a script that Redis has no form for: an error of the call that it stands in."""


def packed(call: Call) -> tuple[bytes, ...]:
    """A call's arguments as bytes. The one place where texts become what Redis is sent, so that none can be refused.

    What UTF-8 has no bytes for (a lone surrogate, which JSON can say) becomes its escape: within JSON that is the same
    text again, in words for people it stays visible. The contract lets none into what names a job.

    Raises:
        NotAnArgument: one is neither text nor number nor bytes.
    """
    return tuple(
        [
            one.encode("utf-8", "backslashreplace") if isinstance(one, str) else _bytes(call, one)
            for one in call.arguments
        ]
    )


def _bytes(call: Call, argument: object) -> bytes:
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, int | float) and not isinstance(argument, bool):
        return repr(argument).encode("ascii")
    raise NotAnArgument(f"the script {call.script} was given an argument of type {type(argument).__name__}")


def run(client: "redis.Redis", call: Call) -> Any:
    """Run a script and wait for its answer."""
    script, arguments = load(call.script), packed(call)
    try:
        return client.evalsha(script.digest, 0, *arguments)
    except NoScriptError:
        return client.eval(script.text, 0, *arguments)


@contextmanager
def a_lost_link_is_a_redis_error() -> Iterator[None]:
    """What asyncio calls a `ConnectionError` is a `RuntimeError` of uvloop: the link broke while nobody wrote."""
    try:
        yield
    except RuntimeError as error:
        raise redis.ConnectionError("the connection was lost") from error


async def run_async(client: "redis.asyncio.Redis", call: Call) -> Any:
    """Run a script from asyncio."""
    script, arguments = load(call.script), packed(call)
    with a_lost_link_is_a_redis_error():
        try:
            return await client.evalsha(script.digest, 0, *arguments)
        except NoScriptError:
            return await client.eval(script.text, 0, *arguments)


def queued(pipe: Any, calls: list[Call], *, with_text: bool = False) -> Any:
    """A pipeline with these calls; `with_text`, the first of them cannot be missed."""
    for index, call in enumerate(calls):
        script, arguments = load(call.script), packed(call)
        if with_text and index == 0:
            pipe.eval(script.text, 0, *arguments)
        else:
            pipe.evalsha(script.digest, 0, *arguments)
    return pipe


# Calls that have nothing to do with each other.


def run_many(client: "redis.Redis", calls: list[Call]) -> list[Any]:
    """Run scripts in one round trip; each is atomic, the whole is not. An answer may be an exception.

    Calls that Redis did not know the script of come last: for calls whose order does not matter.
    """
    answers: list[Any] = queued(client.pipeline(transaction=False), calls).execute(raise_on_error=False)
    for missing in _missing(calls, answers):
        again = queued(client.pipeline(transaction=False), [calls[index] for index in missing], with_text=True)
        for index, answer in zip(missing, again.execute(raise_on_error=False), strict=True):
            answers[index] = answer
    return answers


async def run_many_async(client: "redis.asyncio.Redis", calls: list[Call]) -> list[Any]:
    """Run scripts in one round trip. An answer may be an exception.

    Many are one transaction: Redis cannot forget a script in the middle of it, so of the calls of one script
    either all are missed, and repeated in their order, or none.
    """
    with a_lost_link_is_a_redis_error():
        answers = await _together(client, calls)
        for missing in _missing(calls, answers):
            again = await _together(client, [calls[index] for index in missing], with_text=True)
            for index, answer in zip(missing, again, strict=True):
                answers[index] = answer
        return answers


async def _together(client: "redis.asyncio.Redis", calls: list[Call], *, with_text: bool = False) -> list[Any]:
    pipe: Any = client.pipeline(transaction=False)
    if len(calls) == 1:
        return list(await queued(pipe, calls, with_text=with_text).execute(raise_on_error=False))
    return _carried_out(await _transaction(pipe, calls, with_text=with_text).execute(raise_on_error=False))


def _transaction(pipe: Any, calls: list[Call], *, with_text: bool) -> Any:
    """Calls in a transaction of our own writing: the library's own reads the answers at twice the cost."""
    pipe.execute_command("MULTI")
    queued(pipe, calls, with_text=with_text)
    pipe.execute_command("EXEC")
    return pipe


def _carried_out(heard: list[Any]) -> list[Any]:
    """The answers of a transaction, of which all that was heard is given. Raises why it was refused, if it was."""
    for word in heard:
        if isinstance(word, Exception):
            raise word
    return list(heard[-1])


async def run_many_and_wait(
    client: "redis.asyncio.Redis", calls: list[Call], *, replicas: int, within_ms: int
) -> tuple[list[Any], int]:
    """`run_many_async`, and how many replicas have all of it; that many are waited for, `within_ms` at most.

    `WAIT` counts what its own connection has written, and blocks outside of a transaction only: so it follows the
    transaction in one pipeline. Promoted meanwhile, a replica would be asked of nothing that it lacks.
    """
    with a_lost_link_is_a_redis_error():
        answers, noted = await _waited(client, calls, replicas, within_ms, with_text=False)
        for missing in _missing(calls, answers):
            again = [calls[index] for index in missing]
            more, noted = await _waited(client, again, replicas, within_ms, with_text=True)
            for index, answer in zip(missing, more, strict=True):
                answers[index] = answer
        return answers, noted


async def _waited(
    client: "redis.asyncio.Redis", calls: list[Call], replicas: int, within_ms: int, *, with_text: bool
) -> tuple[list[Any], int]:
    pipe = _transaction(client.pipeline(transaction=False), calls, with_text=with_text)
    pipe.execute_command("WAIT", replicas, within_ms)
    *heard, noted = await pipe.execute(raise_on_error=False)
    answers = _carried_out(heard)
    if isinstance(noted, Exception):
        raise noted
    return answers, int(noted)


def _missing(calls: list[Call], answers: list[Any]) -> list[list[int]]:
    """Which calls Redis did not know the script of, by script."""
    found: dict[str, list[int]] = {}
    for index, answer in enumerate(answers):
        if isinstance(answer, NoScriptError):
            found.setdefault(calls[index].script, []).append(index)
    return list(found.values())
