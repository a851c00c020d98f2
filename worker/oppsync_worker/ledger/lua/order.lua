-- Updates of one record take effect in the order in which they were enqueued, one at a time.
--
-- oppsync:record:<instance>:<record>   its unfinished updates, by number; 0 is the one that was sent at least once: until it
--                                      has ended nothing may come before it, not even an older one that is replayed
-- oppsync:letters:<instance>:<record>  its dead updates, which may be replayed, by number
-- oppsync:newer:<instance>:<record>    while there are such letters: field -> number of the last update that wrote it
-- oppsync:unsure:<instance>:<record>   an update that SprintHub may still be carrying out; goes away by itself
--
-- <record> is id:<opportunity id>, or ref:<external_ref> while the record's create is still on its way. The number comes
-- from oppsync:order. A later issue merges what stands behind the head of a line into one request: here is its place.

local function line_of(name, job) return P .. name .. ':' .. job.instance .. ':' .. job.record end

local function waits_for_letters(instance)
  return redis.call('HGET', P .. 'budget:' .. instance, 'after_dead') == 'wait'
end

-- Take a place at the end of the record's line, or the one that was kept for it when its message was claimed.
local function join(job, number)
  local id = job.target or redis.call('HGET', P .. 'refs:' .. job.instance, job.ref or '')
  job.record = id and 'id:' .. id or 'ref:' .. (job.ref or '')
  job.number = number or int(redis.call('INCR', P .. 'order'))
  redis.call('HSET', job_key(job.id), 'record', job.record, 'number', job.number)
  redis.call('ZADD', line_of('record', job), job.number, job.id)
end

-- The first unfinished update of the record. Whoever has ended without leaving is struck off, and who stands in another line
-- by now: an entry was removed by hand, and its id used again.
local function first_of(job)
  local line = line_of('record', job)
  while true do
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    if not first or first == job.id then return first end
    local state, record, instance = unpack(redis.call('HMGET', job_key(first), 'state', 'record', 'instance'))
    local unfinished = state and not ENDED[state] and (state ~= 'dead' or waits_for_letters(job.instance))
    if unfinished and record == job.record and instance == job.instance then return first end
    redis.call('ZREM', line, first)
  end
end

-- Let the first of a record's line go on, if it stands there blocked.
local function wake(job, now)
  local first = job.record:sub(1, 3) == 'id:' and first_of(job)
  if not first then return end
  local other = read(first)
  if other.state == 'blocked' then line_up(other, now) end
end

-- Whether an update must wait for its create, or for an earlier update of its record.
local function is_behind(job)
  return job.record:sub(1, 4) == 'ref:' or first_of(job) ~= job.id
end

-- An update that is never replayed again needs no memory of what was written since.
local function forget_letter(job)
  local letters = line_of('letters', job)
  if redis.call('ZREM', letters, job.id) == 1 and redis.call('EXISTS', letters) == 0 then
    redis.call('DEL', line_of('newer', job))
  end
end

local function leave(job, now)
  if redis.call('ZREM', line_of('record', job), job.id) == 1 then wake(job, now) end
end

-- Into the interactive lane, and to the place in its instance's line that goes with it.
local function promote_lane(job)
  job.lane = 'interactive'
  redis.call('HSET', job_key(job.id), 'lane', job.lane)
  if job.state == 'waiting' or job.state == 'held' then
    redis.call('ZADD', P .. job.state .. ':' .. job.instance, 'XX', int(turn(job)), job.id)
  end
end

-- Whoever an interactive update waits for inherits its lane: it must not wait behind somebody else's backlog. Those are
-- the create of its reference, and the updates before it. Before an interactive update all are interactive already, so
-- that looking back ends at the first one.
local HURRY_MOST = 1000
local function hurry(job)
  if job.lane ~= 'interactive' then return end
  if job.record:sub(1, 4) == 'ref:' then
    local creator = redis.call('HGET', P .. 'making:' .. job.instance, job.ref or '')
    local create = creator and read(creator)
    if create and create.state and create.lane ~= 'interactive' then promote_lane(create) end
  end
  local line = line_of('record', job)
  local place = redis.call('ZRANK', line, job.id) or 0
  for before = place, math.max(1, place - HURRY_MOST), -20 do
    for _, id in ipairs(redis.call('ZREVRANGE', line, -before, math.min(-1, 19 - before))) do
      local other = read(id)
      if other.lane == 'interactive' then return end
      if other.state then promote_lane(other) end
    end
  end
end

-- A job that comes before interactive updates: a create whose reference they wait for, an update that is replayed.
local function inherit(job)
  if job.lane == 'interactive' then return end
  local behind
  if job.kind == CREATE then
    if not job.ref then return end
    behind = redis.call('ZRANGE', P .. 'record:' .. job.instance .. ':ref:' .. job.ref, 0, 0)[1]
  elseif job.record then
    local line = line_of('record', job)
    local place = redis.call('ZRANK', line, job.id)
    behind = place and redis.call('ZRANGE', line, place + 1, place + 1)[1]
  end
  if behind and redis.call('HGET', job_key(behind), 'lane') == 'interactive' then promote_lane(job) end
end

-- The record's create has succeeded: whoever waited for it under its reference now stands in the record's own line.
local function resolve(instance, ref, opportunity_id, now)
  local job = { id = '', instance = instance, record = 'id:' .. opportunity_id }
  local hurried = {}
  for _, name in ipairs({ 'record', 'letters' }) do
    local from, to = P .. name .. ':' .. instance .. ':ref:' .. ref, line_of(name, job)
    local members = redis.call('ZRANGE', from, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      redis.call('ZADD', to, members[i + 1], members[i])
      local state, lane = unpack(redis.call('HMGET', job_key(members[i]), 'state', 'lane'))
      if state then
        redis.call('HSET', job_key(members[i]), 'record', job.record)
        if name == 'record' and lane == 'interactive' then hurried[#hurried + 1] = members[i] end
      end
    end
    redis.call('DEL', from)
  end
  -- Others of the record may stand before them now.
  for _, id in ipairs(hurried) do hurry(read(id)) end
  wake(job, now)
end

-- Of each field, the number of the last update that wrote it: another application may name ten thousands.
local function last_writers(newer, names)
  local numbers = {}
  for at = 1, #names, 500 do
    local found = redis.call('HMGET', newer, unpack(names, at, math.min(#names, at + 499)))
    for i = 1, #found do numbers[at + i - 1] = tonumber(found[i] or 0) end
  end
  return numbers
end

-- Fields out of `names` that a newer update has written since.
local function overtaken(job, names)
  local found, newer = {}, line_of('newer', job)
  if #names == 0 or redis.call('EXISTS', newer) == 0 then return found end
  for i, number in ipairs(last_writers(newer, names)) do
    if number > tonumber(job.number) then found[#found + 1] = names[i] end
  end
  return found
end

-- What an update has written, or may have: remembered only while an older one could be replayed.
local function wrote(job, names)
  local newer, fields = line_of('newer', job), {}
  if redis.call('EXISTS', line_of('letters', job)) == 0 then return end
  for i, number in ipairs(last_writers(newer, names)) do
    if number < tonumber(job.number) then
      fields[#fields + 1] = names[i]
      fields[#fields + 1] = job.number
    end
    if #fields == 1000 or (i == #names and #fields > 0) then
      redis.call('HSET', newer, unpack(fields))
      fields = {}
    end
  end
end

-- The answer to an update was lost: until SprintHub can no longer be carrying it out, no other may follow.
local function unsure(job)
  local wait_ms = tonumber(redis.call('HGET', P .. 'budget:' .. job.instance, 'settle_ms') or 60000)
  if wait_ms > 0 then redis.call('SET', line_of('unsure', job), job.id, 'PX', wait_ms) end
  redis.call('HSET', job_key(job.id), 'uncertain', '1')
  local writing = redis.call('HGET', job_key(job.id), 'writing')
  if writing then wrote(job, cjson.decode(writing)) end
end

-- How long another update must still wait for that, in ms.
local function unsure_for(job)
  local key = line_of('unsure', job)
  local whose = redis.call('GET', key)
  if not whose or whose == job.id then return 0 end
  return math.max(0, redis.call('PTTL', key))
end
