-- #include ground
-- Record jobs and put each where it waits for its turn, in order; or answer with the job that already stands under an id or
-- an idempotency key.
-- A batch too large for one call is several calls in one pipeline. Each but the first takes effect only when the one before
-- it has: whatever becomes of one of them (a Redis that was told to forget its scripts, a full one), no later job of the
-- batch overtakes an earlier one. The note of it is kept below `idem:`, where the rights of producers reach.
-- ARGV: token of the batch ('' = this call is all of it), place in it (0 = the first), then of each job:
--   id, kind, instance, lane, key, ref, target ('' = none), not_before, deadline (ms, 0 = none), digest, message
-- Returns for each job {job id, 1 if it was recorded now, else 0}, or {id of the job that stands, -1, which of 'id', 'key'
-- and 'discarded' forbids it, the kind and the instance of the job that stands}; or 'out of turn', and nothing was changed.
local token, place, EACH = ARGV[1], tonumber(ARGV[2]), 11
local batch = P .. 'idem::batch:' .. token
if place > 0 and redis.call('GET', batch) ~= tostring(place - 1) then return 'out of turn' end

local function conflict(standing, which)
  local kind, instance = unpack(redis.call('HMGET', job_key(standing), 'kind', 'instance'))
  return { standing, -1, which, kind or '', instance or '' }
end

-- Whether a job stands under this id. What an aborted enqueueing has left, for want of the right to take it back, is none
-- (undo.lua).
local function stands(other)
  if redis.call('EXISTS', job_key(other)) == 0 then return false end
  if redis.call('HGET', job_key(other), 'cause') ~= 'aborted' then return true end
  redis.call('HDEL', job_key(other), 'cause', 'detail')
  return false
end

-- The usual case in a backlog, kept short: a create behind others of its instance, whose next look lies ahead.
local function is_in_backlog(instance, ref, now)
  local due = tonumber(redis.call('ZSCORE', P .. 'slots', instance) or 0)
  return due > now and redis.call('EXISTS', P .. 'hold:' .. instance) == 0
    and (ref == '' or redis.call('EXISTS', P .. 'record:' .. instance .. ':ref:' .. ref) == 0)
end

-- Where everything else goes: below.
local put

local function enqueue(id, kind, instance, lane, key, ref, target, not_before, deadline, digest, message, backlog_at)
  not_before, deadline = tonumber(not_before), tonumber(deadline)
  if stands(id) then
    -- Of a message that nobody could read, only the id is known.
    local of, what = unpack(redis.call('HMGET', job_key(id), 'instance', 'kind'))
    local unread = (of or '') == '' or (what or '') == ''
    return (unread or differs(id, kind, instance, digest)) and conflict(id, 'id') or { id, 0 }
  end
  if key ~= '' then
    local idem = P .. 'idem:' .. instance .. ':' .. key
    local first = redis.call('GET', idem)
    if first and stands(first) then
      if differs(first, kind, instance, digest) then return conflict(first, 'key') end
      local state, cause = unpack(redis.call('HMGET', job_key(first), 'state', 'cause'))
      -- What newer updates have superseded was settled by them; what a person dropped has not been done.
      if state == 'discarded' and cause ~= 'superseded' then return conflict(first, 'discarded') end
      return { first, 0 }
    end
    redis.call('SET', idem, id)
  end
  local now = backlog_at or now_ms()
  local job = { id = id, kind = kind, instance = instance, lane = lane, at = int(now) }
  local fields = { 'kind', kind, 'instance', instance, 'at', job.at, 'lane', lane, 'digest', digest }
  local function know(name, value)
    job[name] = value
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if key ~= '' then know('key', key) end
  if ref ~= '' then know('ref', ref) end
  if target ~= '' then know('target', target) end
  if deadline > 0 then know('deadline', int(deadline)) end
  if ref ~= '' and kind == CREATE then redis.call('HSET', P .. 'making:' .. instance, ref, id) end
  if backlog_at or (kind == CREATE and not_before <= now and is_in_backlog(instance, ref, now)) then
    redis.call('HSET', job_key(id), 'state', 'waiting', 'message', message, unpack(fields))
    redis.call('ZADD', P .. 'waiting:' .. instance, int(turn(job)), id)
    if job.deadline then redis.call('ZADD', P .. 'expiring', job.deadline, id) end
  else
    put(job, fields, now, message, not_before)
  end
  return { id, 1 }
end

-- One job that goes into a backlog needs none of the library, which takes as long to build as all else here.
if token == '' and #ARGV == 2 + EACH then
  local _, kind, instance, _, _, ref, _, not_before = unpack(ARGV, 3)
  local now = now_ms()
  if kind == CREATE and tonumber(not_before) <= now and is_in_backlog(instance, ref, now) then
    local one = { unpack(ARGV, 3) }
    one[EACH + 1] = now
    return { enqueue(unpack(one)) }
  end
end

-- #level
-- #include life
function put(job, fields, now, message, not_before)
  inherit(job)
  fields[8] = job.lane
  if not_before > now then
    redis.call('HSET', job_key(job.id), unpack(fields))
    move(job, 'scheduled', now, message, not_before)
  else
    if job.kind == UPDATE then join(job) end
    enter(job, fields, now, message)
  end
end

local answers = {}
for at = 3, #ARGV, EACH do answers[#answers + 1] = enqueue(unpack(ARGV, at, at + EACH - 1)) end
if token ~= '' then redis.call('SET', batch, place, 'EX', 60) end
return answers
