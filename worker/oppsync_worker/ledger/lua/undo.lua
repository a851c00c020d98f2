-- An undo log: a script takes effect whole, or not at all. Every script runs inside of this one (ledger/assembly.py).
--
-- Redis does not roll back: a script that is stopped between two writes, by a missing right or a bug, has done the first
-- and not the second. So a write goes to another function here, which notes how to take it back, and after an error all
-- that was done is taken back, latest first, and the error is raised again. (`ledger/assembly.py` decides for each call of a
-- script whether it goes to `write`, or to Redis itself: reads do, and two writes, numbers that are given out once (INCR; a
-- gap harms nobody), and the time of what is only useful for a while (PEXPIRE; it may as well stay for longer).)
--
-- An inverse needs its own rights (ledger/rights.py). If one is refused, the error says so, and what is left is put right
-- by the caller's repeat or by the sweep.
--
-- This runs around every script: few closures, few calls. Mostly what a write did is known from its answer, or it is left
-- out because there is nothing to do; only else is anything asked for beforehand.

local server = redis.call
local log, size = {}, 0
-- What is published cannot be taken back, and so is sent when all else is done. (If Redis refuses that, it refuses the
-- first.)
local published = {}
-- Claims are deleted when all else is done, and the last of them after that: a claim has the only copy of its message, and
-- what has not been deleted need not be put back. (So a script must not ask for a claim that it has let go of.)
local let_go_of = {}

local function note(kind, key, a, b)
  log[size + 1], log[size + 2], log[size + 3], log[size + 4] = kind, key, a or false, b or false
  size = size + 4
end

local function write(command, key, a, b, ...)
  if command == 'HSET' then
    if ... then
      local given = { ... }
      -- Many fields at once are those of a new entry, unless it is one that moves (`since`). That nothing is there is
      -- cheaper to ask than each of them.
      if #given > 6 and given[1] ~= 'since' and server('EXISTS', key) == 0 then
        local added = server(command, key, a, b, ...)
        note('added', key, a, given)
        return added
      end
      local names = { a }
      for i = 2, #given, 2 do names[i / 2 + 1] = given[i - 1] end
      local before = server('HMGET', key, unpack(names))
      local added = server(command, key, a, b, ...)
      note('named', key, names, before)
      return added
    end
    local before = server('HGET', key, a)
    if before == b then return 0 end
    local added = server(command, key, a, b)
    note('field', key, a, before)
    return added
  elseif command == 'ZADD' then
    if a == 'XX' then
      local score = server('ZSCORE', key, ...)
      if not score then return 0 end
      server(command, key, b, ...)
      note('member', key, ..., score)
      return 0
    elseif a == 'NX' then
      local added = server(command, key, a, b, ...)
      if added == 1 then note('member', key, ..., false) end
      return added
    end
    local added = server(command, key, 'NX', a, b)
    if added == 1 then
      note('member', key, b, false)
    else
      local score = server('ZSCORE', key, b)
      server(command, key, a, b)
      note('member', key, b, score)
    end
    return ... and added + write(command, key, ...) or added
  elseif command == 'ZREM' then
    local score = server('ZSCORE', key, a)
    if score then
      server(command, key, a)
      note('member', key, a, score)
    end
    return (score and 1 or 0) + (b and write(command, key, b, ...) or 0)
  elseif command == 'HDEL' then
    if b then
      local names, found = { a, b, ... }, false
      local before = server('HMGET', key, unpack(names))
      for i = 1, #names do found = found or before[i] end
      if not found then return 0 end
      local gone = server(command, key, unpack(names))
      note('named', key, names, before)
      return gone
    end
    local before = server('HGET', key, a)
    if not before then return 0 end
    server(command, key, a)
    note('field', key, a, before)
    return 1
  elseif command == 'LPUSH' or command == 'RPUSH' then
    local length = server(command, key, a)
    note('pushed', key, command == 'LPUSH' and 'LPOP' or 'RPOP')
    return b and write(command, key, b, ...) or length
  elseif command == 'SET' then
    local answer
    if not b then
      answer = server(command, key, a, 'NX')
    elseif b ~= 'KEEPTTL' then
      answer = server(command, key, a, 'NX', b, ...)
    end
    if answer then
      note('string', key, false)
      return answer
    end
    local before, ttl = server('GET', key), server('PTTL', key)
    answer = b and server(command, key, a, b, ...) or server(command, key, a)
    note('string', key, before, ttl)
    return answer
  elseif command == 'DEL' then
    local deleted = 1
    if key:find('^oppsync:claim:') then
      let_go_of[#let_go_of + 1] = key
    else
      -- All of a key that is about to be deleted: how it is put back, what it holds, how long it lives; nothing if there is none.
      local function look_at(key)
        local readers = { { 'fields', 'HGETALL' }, { 'members', 'ZRANGE', 0, -1, 'WITHSCORES' }, { 'elements', 'LRANGE', 0, -1 } }
        for _, reader in ipairs(key:find('^celery%-task%-meta%-') and {} or readers) do
          local found = redis.pcall(reader[2], key, unpack(reader, 3))
          if not found.err then
            if found[1] == nil then return end
            return reader[1], found, server('PTTL', key)
          end
          if not found.err:find('WRONGTYPE', 1, true) then error(found.err, 0) end
        end
        local value = server('GET', key)
        if value then return 'string', value, server('PTTL', key) end
      end
      local kind, before, ttl = look_at(key)
      deleted = kind and server(command, key) or 0
      if kind then note(kind, key, before, ttl) end
    end
    return a and deleted + write(command, a, b, ...) or deleted
  elseif command == 'PUBLISH' then
    published[#published + 1] = { command, key, a }
    return 0
  elseif command == 'EXPIRE' then
    -- Of what ends: it had no time before.
    local done = server(command, key, a)
    if done == 1 then note('persist', key) end
    return done
  elseif command == 'HINCRBY' then
    local before = server('HGET', key, a)
    local value = server(command, key, a, b)
    note('field', key, a, before)
    return value
  elseif command == 'HSETNX' then
    local done = server(command, key, a, b)
    if done == 1 then note('field', key, a, false) end
    return done
  elseif command == 'SADD' or command == 'SREM' then
    local done = server(command, key, a)
    if done == 1 then note('command', key, command == 'SADD' and 'SREM' or 'SADD', a) end
    return b and done + write(command, key, b, ...) or done
  elseif command == 'RPOP' or command == 'LPOP' then
    local value = server(command, key)
    if value then note('popped', key, command, value) end
    return value
  elseif command == 'ZREMRANGEBYSCORE' then
    local found = server('ZRANGEBYSCORE', key, a, b, 'WITHSCORES')
    if not found[1] then return 0 end
    local removed = server(command, key, a, b)
    note('members', key, found)
    return removed
  elseif command == 'LTRIM' then
    -- Lists that are trimmed are short, and mostly not too long yet.
    local length = server('LLEN', key)
    if b == -1 and (a == 0 or a <= -length) then return end
    local before, ttl = server('LRANGE', key, 0, -1), server('PTTL', key)
    server(command, key, a, b)
    note('elements', key, before, ttl)
    return
  end
  -- LSET
  local before = server('LINDEX', key, a)
  local answer = server(command, key, a, b)
  note('element', key, a, before)
  return answer
end

-- What is known beforehand is not asked for: a hash of which nothing is there yet, or what its fields were before, or the
-- score of a member.
local function write_add(command, key, a, b, ...)
  local added = server(command, key, a, b, ...)
  note('added', key, a, { ... })
  return added
end

local function write_known(command, key, before, a, ...)
  local answer = server(command, key, a, ...)
  if command == 'HSET' then
    note('given', key, { a, ... }, before)
  elseif answer == 1 then
    note(command == 'ZREM' and 'member' or 'field', key, a, before)
  end
  return answer
end

-- `from`: what was done before that stays.
local function take_all_back(from)
  local TAKE_BACK = {}

  -- Where a command may be forbidden, another one does nearly the same.
  local function first_permitted(...)
    local refused
    for _, words in ipairs({ ... }) do
      local answer = redis.pcall(unpack(words))
      if type(answer) ~= 'table' or not answer.err then return end
      refused = refused or answer.err
    end
    error(refused, 0)
  end

  local function keep_ttl(key, ttl)
    if ttl and ttl > 0 then server('PEXPIRE', key, ttl) end
  end

  function TAKE_BACK.named(key, names, values)
    local put, drop = {}, {}
    for i, name in ipairs(names) do
      if values[i] then
        put[#put + 1] = name
        put[#put + 1] = values[i]
      else
        drop[#drop + 1] = name
      end
    end
    if #put > 0 then server('HSET', key, unpack(put)) end
    if #drop == 0 then return end
    local new = key:find('^oppsync:job:') and (names[1] == 'state' or names[1] == 'kind') and not values[1]
    if not new then return server('HDEL', key, unpack(drop)) end
    -- A job that was not there before: whoever meets what is left of it knows that it counts for nothing (enqueue.lua).
    first_permitted({ 'HDEL', key, unpack(drop) }, { 'DEL', key },
      { 'HSET', key, 'state', 'discarded', 'cause', 'aborted', 'detail', 'its enqueueing was aborted; enqueue it again' })
  end

  function TAKE_BACK.added(key, first, given)
    local names = { first }
    for i = 2, #given, 2 do names[i / 2 + 1] = given[i - 1] end
    return TAKE_BACK.named(key, names, {})
  end

  function TAKE_BACK.given(key, given, before)
    local names = {}
    for i = 1, #given, 2 do names[(i + 1) / 2] = given[i] end
    return TAKE_BACK.named(key, names, before)
  end

  function TAKE_BACK.field(key, name, value)
    if value then return server('HSET', key, name, value) end
    return server('HDEL', key, name)
  end

  function TAKE_BACK.fields(key, fields, ttl)
    for at = 1, #fields, 1000 do server('HSET', key, unpack(fields, at, math.min(#fields, at + 999))) end
    keep_ttl(key, ttl)
  end

  function TAKE_BACK.member(key, member, score)
    if score then return server('ZADD', key, score, member) end
    return server('ZREM', key, member)
  end

  function TAKE_BACK.members(key, members, ttl)
    for i = 1, #members, 2 do server('ZADD', key, members[i + 1], members[i]) end
    keep_ttl(key, ttl)
  end

  function TAKE_BACK.elements(key, elements, ttl)
    server('DEL', key)
    for _, element in ipairs(elements) do server('RPUSH', key, element) end
    keep_ttl(key, ttl)
  end

  function TAKE_BACK.element(key, index, value) return server('LSET', key, index, value) end

  function TAKE_BACK.command(key, command, value) return server(command, key, value) end

  function TAKE_BACK.string(key, value, ttl)
    -- Forbidden to delete it, it is left to expire at once.
    if not value then return first_permitted({ 'DEL', key }, { 'SET', key, '', 'PX', 1 }) end
    server('SET', key, value)
    keep_ttl(key, ttl)
  end

  function TAKE_BACK.persist(key) return server('PERSIST', key) end

  function TAKE_BACK.popped(key, command, value)
    -- At the wrong end is better than nowhere: what is popped may be a job that is known by nothing else.
    local back, front = { 'RPUSH', key, value }, { 'LPUSH', key, value }
    if command == 'LPOP' then back, front = front, back end
    return first_permitted(back, front)
  end

  function TAKE_BACK.pushed(key, command)
    return first_permitted({ command, key }, command == 'LPOP' and { 'LTRIM', key, 1, -1 } or { 'LTRIM', key, 0, -2 })
  end

  local refused
  for i = size - 3, from + 1, -4 do
    local ok, said = pcall(TAKE_BACK[log[i]], log[i + 1], log[i + 2], log[i + 3])
    if not ok then refused = refused or (type(said) == 'table' and said.err or tostring(said)) end
  end
  size = from
  return refused
end

-- A part of a script that serves one of many. Has somebody put a value of another type under one of its keys, then what the
-- part has done is taken back, and the others are served. Any other error ends the script.
-- Returns true and what the part returns; or false.
local function apart(part, ...)
  local from, claims, words = size, #let_go_of, #published
  local ok, answer = pcall(part, ...)
  if ok then return true, answer end
  local said = type(answer) == 'table' and answer.err or tostring(answer)
  if not said:find('WRONGTYPE', 1, true) then error(answer, 0) end
  local refused = take_all_back(from)
  if refused then error(said .. ' (and what it had done could not all be taken back: ' .. refused .. ')', 0) end
  for i = #let_go_of, claims + 1, -1 do let_go_of[i] = nil end
  for i = #published, words + 1, -1 do published[i] = nil end
  return false
end

-- Whose part it was is written down for people to see, for ten minutes, and told to the caller.
local broken = {}
local function broken_at(name)
  local time = server('TIME')
  server('ZADD', 'oppsync:broken', time[1], name)
  server('PEXPIRE', 'oppsync:broken', 600000)
  broken[#broken + 1] = name
end
local function with_broken(answer)
  if broken[1] then answer[#answer + 1] = broken end
  return answer
end

local function whole(main)
  local answer
  local ok, said = pcall(function()
    answer = main()
    local many = #let_go_of
    for i = 1, many - 1 do
      local claim = server('HGETALL', let_go_of[i])
      if server('DEL', let_go_of[i]) == 1 then note('fields', let_go_of[i], claim) end
    end
    local last = let_go_of[many]
    if published[1] then
      -- Nothing may be refused after that: whether it would be is asked with a claim that nobody has.
      if last then server('DEL', last .. ':') end
      for _, words in ipairs(published) do server(unpack(words)) end
    end
    if last then server('DEL', last) end
  end)
  if ok then return answer end
  answer = said

  local refused = take_all_back(0)
  if refused then
    local said = ' (and what it had done could not all be taken back: ' .. refused .. ')'
    if type(answer) == 'table' and answer.err then answer.err = answer.err .. said else answer = tostring(answer) .. said end
  end
  error(answer, 0)
end
