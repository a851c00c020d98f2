"""Scripts that are aborted: before its n-th write Redis refuses to go on, as for want of a right.

Nothing of the script is changed: another `redis` is put before it, which raises when its time has come.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest
import redis

from oppsync_worker.ledger.assembly import Script, lines_of, load
from oppsync_worker.ledger.scripts import Call

WRITES: Final = (
    "APPEND DEL EXPIRE GETDEL HDEL HINCRBY HINCRBYFLOAT HSET HSETNX INCR INCRBY LINSERT LMOVE LPOP LPUSH LREM LSET "
    "LTRIM PERSIST PEXPIRE PUBLISH RENAME RESTORE RPOP RPUSH SADD SET SPOP SREM UNLINK ZADD ZINCRBY ZPOPMAX ZPOPMIN "
    "ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE"
)
AT: Final = "test:abort"
SAID: Final = "not this time"

_PREFIX: Final = (
    """
local redis = (function()
  local real, writes, at = redis, {}, tonumber(redis.call('GET', '<at>') or 0)
  for name in ('<writes>'):gmatch('%a+') do writes[name] = true end
  local function call(command, ...)
    if writes[command] and at > 0 then
      at = at - 1
      if at == 0 then error('<said>', 0) end
      -- Whoever may publish once may publish again: there are no aborts after that.
      if command == 'PUBLISH' then at = 0 end
    end
    return real.call(command, ...)
  end
  return { call = call, pcall = real.pcall, sha1hex = real.sha1hex }
end)()
""".replace("<at>", AT)
    .replace("<writes>", WRITES)
    .replace("<said>", SAID)
)

EVERYTHING: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  else value = { redis.call('GET', key) } end
  found[#found + 1] = { key, kind, redis.call('PTTL', key), value }
end
return found
"""
"""Lists key, type, milliseconds to live and content of all that Redis holds."""
_MAY_CHANGE: Final = {b"oppsync:order", b"oppsync:claim-seq", AT.encode()}
"""Numbers that are given out once."""


def abortable(name: str, compose: Callable[[str], Script] = load) -> Script:
    """A script that looks for when it is to be aborted."""
    # Without an undo log it was published in the midst of all else.
    prefix = _PREFIX.replace("then at = 0 end", "then at = at end") if compose is without_undo else _PREFIX
    text = prefix + compose(name).text
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def without_undo(name: str) -> Script:
    """A script as it was before there was an undo log."""
    text = "\n".join(lines_of(name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def everything(client: redis.Redis) -> dict[bytes, tuple[Any, ...]]:
    """All that Redis holds, comparable; of times to live, whether there is one."""
    found = {}
    for key, kind, ttl, value in client.eval(EVERYTHING, 0):
        if key in _MAY_CHANGE:
            continue
        pairs = kind == b"hash"
        found[key] = (
            kind,
            ttl > 0,
            dict(zip(value[::2], value[1::2], strict=True)) if pairs else set(value) if kind == b"set" else value,
        )
    return found


def abort(client: redis.Redis, call: Call, write: int, compose: Callable[[str], Script] = load) -> tuple[bool, Any]:
    """Run a script and abort it before that write; whether it came to it, and its answer otherwise."""
    script = abortable(call.script, compose)
    client.set(AT, write)
    try:
        return False, client.eval(script.text, 0, *call.arguments)
    except redis.ResponseError as error:
        if SAID not in str(error):
            raise
        return True, None
    finally:
        client.delete(AT)


class Aborter:
    """Runs scripts; each is aborted at every one of its writes first, and must have changed nothing."""

    def __init__(self, compose: Callable[[str], Script] = load) -> None:
        self.aborts: Counter[str] = Counter()
        self._compose = compose

    def run(self, client: redis.Redis, call: Call) -> Any:
        """In the place of `scripts.run`."""
        with client.pubsub() as heard:
            heard.psubscribe("celery-task-meta-*")
            assert (heard.get_message(timeout=1) or {})["type"] == "psubscribe"
            before = everything(client)
            write = 1
            while True:
                aborted, answer = abort(client, call, write, self._compose)
                if not aborted:
                    return answer
                self.aborts[call.script] += 1
                changed = _difference(before, everything(client))
                assert not changed, f"{call.script} was aborted before its write {write}, and has changed {changed}"
                message = heard.get_message(timeout=0)
                assert message is None, f"{call.script} was aborted before its write {write}, and published {message}"
                write += 1


def _difference(before: dict[bytes, Any], after: dict[bytes, Any]) -> dict[bytes, Any]:
    return {
        key: (before.get(key), after.get(key))
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }


def aborting(monkeypatch: pytest.MonkeyPatch, modules: list[Any], aborter: Aborter) -> None:
    """Have everybody in these modules run their scripts so."""

    async def run_async(client: Any, call: Call) -> Any:
        options = {
            name: client.connection_pool.connection_kwargs.get(name)
            for name in ("host", "port", "username", "password")
        }
        with redis.Redis(**options) as here:
            return aborter.run(here, call)

    for module in modules:
        if hasattr(module, "run"):
            monkeypatch.setattr(module, "run", aborter.run)
        if hasattr(module, "run_async"):
            monkeypatch.setattr(module, "run_async", run_async)
