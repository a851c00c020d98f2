"""Loading the Lua scripts and running them, from threads and from asyncio alike.

A script is run by its digest; a Redis that does not know it (after a restart without AOF, or FLUSH) answers NOSCRIPT
and gets the text. Both runners share `Call`, so a caller is written once.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

Argument = str | int | float | bytes

_INCLUDE: Final = "-- #include "
_AROUND: Final = "undo"
"""The file that every script runs inside of."""

READS: Final = frozenset(
    {
        *("exists", "get", "hexists", "hget", "hgetall", "hmget", "lindex", "llen", "lpos", "lrange", "pttl"),
        *("srandmember", "time", "ttl", "zcard", "zrange", "zrangebyscore", "zscore"),
    }
)
"""Commands of scripts that change nothing."""

_READ: Final = re.compile(rf"redis\.call\('({'|'.join(sorted(READS)).upper()})'")


@dataclass(frozen=True, slots=True)
class Script:
    """One script's text with its includes, and the SHA-1 that Redis knows it by."""

    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script: its name under `lua/` and its arguments."""

    script: str
    arguments: tuple[Argument, ...]


@cache
def load(name: str) -> Script:
    """Read a script and put in the files that its `-- #include` lines name, each of them once.

    The whole is the body of a function of its own, which takes effect whole or not at all (`lua/undo.lua`).
    """
    # Reads go to Redis itself: there is nothing to take back, and they are the most of what a script does.
    around, body = _lines(_AROUND, set()), (_READ.sub(r"server('\1'", line) for line in _lines(name, set()))
    text = "\n".join([*around, "local function main()", *body, "end", "return whole(main)"])
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _lines(name: str, included: set[str]) -> Iterator[str]:
    for line in (files(__package__) / "lua" / f"{name}.lua").read_text("utf-8").splitlines():
        if not line.startswith(_INCLUDE):
            yield line
        elif (other := line.removeprefix(_INCLUDE).strip()) not in included:
            included.add(other)
            yield from _lines(other, included)


def lines_of(name: str) -> list[str]:
    """A script with its includes, without what is put around it."""
    return list(_lines(name, set()))


def run(client: "redis.Redis", call: Call) -> Any:
    """Run a script and wait for its answer."""
    script = load(call.script)
    try:
        return client.evalsha(script.digest, 0, *call.arguments)
    except NoScriptError:
        return client.eval(script.text, 0, *call.arguments)


@contextmanager
def _a_lost_link_is_a_redis_error() -> Iterator[None]:
    """What asyncio calls a `ConnectionError` is a `RuntimeError` of uvloop: the link broke while nobody wrote."""
    try:
        yield
    except RuntimeError as error:
        raise redis.ConnectionError("the connection was lost") from error


async def run_async(client: "redis.asyncio.Redis", call: Call) -> Any:
    """Run a script from asyncio."""
    script = load(call.script)
    with _a_lost_link_is_a_redis_error():
        try:
            return await client.evalsha(script.digest, 0, *call.arguments)
        except NoScriptError:
            return await client.eval(script.text, 0, *call.arguments)


def _pipe(pipe: Any, calls: list[Call]) -> Any:
    for call in calls:
        pipe.evalsha(load(call.script).digest, 0, *call.arguments)
    return pipe


def _unknown(answers: list[Any]) -> list[int]:
    return [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]


def run_many(client: "redis.Redis", calls: list[Call]) -> list[Any]:
    """Run scripts in one round trip; each is atomic, the whole is not. An answer may be an exception."""
    answers: list[Any] = _pipe(client.pipeline(transaction=False), calls).execute(raise_on_error=False)
    if missing := _unknown(answers):
        for name in {calls[index].script for index in missing}:
            client.script_load(load(name).text)
        again = [calls[index] for index in missing]
        repeated = _pipe(client.pipeline(transaction=False), again).execute(raise_on_error=False)
        for index, answer in zip(missing, repeated, strict=True):
            answers[index] = answer
    return answers


async def run_many_async(client: "redis.asyncio.Redis", calls: list[Call]) -> list[Any]:
    """`run_many`, from asyncio."""
    with _a_lost_link_is_a_redis_error():
        answers: list[Any] = await _pipe(client.pipeline(transaction=False), calls).execute(raise_on_error=False)
        if missing := _unknown(answers):
            for name in {calls[index].script for index in missing}:
                await client.script_load(load(name).text)
            again = [calls[index] for index in missing]
            repeated = await _pipe(client.pipeline(transaction=False), again).execute(raise_on_error=False)
            for index, answer in zip(missing, repeated, strict=True):
                answers[index] = answer
        return answers
