"""The ledger's scripts on a clock of the test's own, and all that Redis holds as one text.

A script that runs here sees `TIME` as the test sets it, and its keys end when that clock says so: what is stored is the
same in every run, to the millisecond.
"""

import re
from typing import Any, Final

import redis

from integration.ledger.canonical import canonical_ends
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.scripts import Call, packed
from oppsync_worker.version import release

BEGINNING_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

_OWN_CLOCK: Final = """
local redis = setmetatable({}, { __index = redis })
local real = getmetatable(redis).__index
local function clocked(how)
  local function now() return tonumber(how('GET', 'walk:now')) end
  local function ends(key, ms) how('HSET', 'walk:ends', key, string.format('%.0f', now() + ms)) end
  return function(command, key, ...)
    local given = { ... }
    if command == 'TIME' then
      return { string.format('%.0f', math.floor(now() / 1000)), string.format('%.0f', now() % 1000 * 1000) }
    elseif command == 'EXPIRE' or command == 'PEXPIRE' then
      if how('EXISTS', key) == 0 then return 0 end
      ends(key, tonumber(given[1]) * (command == 'EXPIRE' and 1000 or 1))
      return 1
    elseif command == 'PERSIST' then
      return how('HDEL', 'walk:ends', key)
    elseif command == 'TTL' or command == 'PTTL' then
      if how('EXISTS', key) == 0 then return -2 end
      local till = how('HGET', 'walk:ends', key)
      return till and tonumber(till) - now() or -1
    elseif command == 'SRANDMEMBER' then
      local members = how('SMEMBERS', key)
      table.sort(members)
      return members
    elseif command == 'SET' then
      local kept, till, words = false, nil, {}
      local i = 2
      while given[i] do
        if given[i] == 'EX' or given[i] == 'PX' then
          till = tonumber(given[i + 1]) * (given[i] == 'EX' and 1000 or 1)
          i = i + 1
        elseif given[i] == 'KEEPTTL' then
          kept = true
        else
          words[#words + 1] = given[i]
        end
        i = i + 1
      end
      local answer = how('SET', key, given[1], unpack(words))
      if answer and not kept then how('HDEL', 'walk:ends', key) end
      if answer and till then ends(key, till) end
      return answer
    end
    return how(command, key, ...)
  end
end
redis.call, redis.pcall = clocked(real.call), clocked(real.pcall)
"""

_ALL: Final = """
local names, found = redis.call('KEYS', '*'), {}
table.sort(names)
local there = {}
for _, name in ipairs(names) do
  there[name] = true
  if name:sub(1, 5) ~= 'walk:' then
    local kind = redis.call('TYPE', name).ok
    local parts
    if kind == 'string' then
      parts = { redis.call('GET', name) }
    elseif kind == 'list' then
      parts = redis.call('LRANGE', name, 0, -1)
    elseif kind == 'set' then
      parts = redis.call('SMEMBERS', name)
      table.sort(parts)
    else
      local flat = kind == 'hash' and redis.call('HGETALL', name) or redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
      parts = {}
      for i = 1, #flat, 2 do parts[#parts + 1] = flat[i] .. ' = ' .. flat[i + 1] end
      if kind == 'hash' then table.sort(parts) end
    end
    local ends = redis.call('HGET', 'walk:ends', name)
    found[#found + 1] = name .. (ends and ' until ' .. ends or '')
    for _, part in ipairs(parts) do found[#found + 1] = '    ' .. part end
  end
end
for _, name in ipairs(redis.call('HKEYS', 'walk:ends')) do
  if not there[name] then redis.call('HDEL', 'walk:ends', name) end
end
return table.concat(found, '\\n')
"""

_PASS: Final = """
local now = redis.call('INCRBY', 'walk:now', ARGV[1])
local ends = redis.call('HGETALL', 'walk:ends')
for i = 1, #ends, 2 do
  if tonumber(ends[i + 1]) <= now then redis.call('DEL', ends[i]) end
end
"""


class Clockwork:
    """A Redis whose scripts live by a clock that only `passes` moves."""

    def __init__(self, client: redis.Redis) -> None:
        """Empties it."""
        self.client = client
        self._scripts: dict[str, str] = {}
        client.flushall()
        client.set("walk:now", BEGINNING_MS)
        self._all = client.script_load(_ALL)
        self._pass = client.script_load(_PASS)

    @property
    def now_ms(self) -> int:
        """What the clock shows."""
        return int(self.client.get("walk:now") or 0)

    def passes(self, ms: int) -> None:
        """Time goes on, and what ends meanwhile is gone."""
        self.client.evalsha(self._pass, 0, str(ms))

    def answer(self, call: Call) -> Any:
        """A script's answer."""
        return self.client.evalsha(self._digest(call), 0, *packed(call))

    def _digest(self, call: Call) -> str:
        digest = self._scripts.get(call.script)
        if digest is None:
            digest = self._scripts[call.script] = self.client.script_load(_OWN_CLOCK + load(call.script).text)
        return digest

    def run(self, call: Call) -> tuple[Any, str]:
        """A script's answer (or how it failed), and all that Redis holds after it."""
        pipe = self.client.pipeline(transaction=False)
        pipe.evalsha(self._digest(call), 0, *packed(call))
        pipe.evalsha(self._all, 0)
        answer, held = pipe.execute(raise_on_error=False)
        if isinstance(answer, redis.ResponseError):
            answer = re.sub(r"user_script:\d+", "user_script", f"failed: {answer}".split(" script: ", 1)[0])
        return answer, self.told(held)

    def held(self) -> str:
        """All that Redis holds."""
        return self.told(self.client.evalsha(self._all, 0))

    @staticmethod
    def told(held: Any) -> str:
        """As text, without the version that is running."""
        text = held.decode("utf-8", "backslashreplace") if isinstance(held, bytes) else str(held)
        return canonical_ends(text.replace(release(), "VERSION"))
