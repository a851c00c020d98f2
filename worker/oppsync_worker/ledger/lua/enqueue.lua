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
local now = now_ms()

-- The usual case in a backlog, kept short: a create that nobody knows, behind others of its instance, whose next look lies
-- ahead. Anything else is left to the library, and nothing was written then.
local function join_backlog(id, kind, instance, lane, key, ref, _, not_before, deadline, digest, message)
  local due = kind == CREATE and redis.call('ZSCORE', P .. 'slots', instance)
  if not due or tonumber(due) <= now or tonumber(not_before) > now then return false end
  local entry, idem = P .. 'job:' .. id, P .. 'idem:' .. instance .. ':' .. key
  if redis.call('EXISTS', entry, P .. 'hold:' .. instance) > 0 or (key ~= '' and redis.call('GET', idem))
    or (ref ~= '' and redis.call('EXISTS', P .. 'record:' .. instance .. ':ref:' .. ref) == 1) then
    return false
  end
  local fields = { 'state', 'waiting', 'message', message, 'kind', kind, 'instance', instance, 'at', now, 'lane', lane, 'digest',
    digest }
  local function know(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if key ~= '' then
    know('key', key)
    redis.call('SET', idem, id)
  end
  if ref ~= '' then
    know('ref', ref)
    redis.call('HSET', P .. 'making:' .. instance, ref, id)
  end
  if deadline ~= '0' then know('deadline', deadline) end
  redis.add('HSET', entry, unpack(fields))
  redis.call('ZADD', P .. 'waiting:' .. instance, (lane == 'interactive' and 0 or 1e13) + now, id)
  if deadline ~= '0' then redis.call('ZADD', P .. 'expiring', deadline, id) end
  return true
end

-- One job that goes into a backlog needs none of the library, which takes as long to build as all else here.
local alone = token == '' and #ARGV == 2 + EACH
if alone and join_backlog(unpack(ARGV, 3)) then return { { ARGV[3], 1 } } end

-- #level
-- #include life
-- #first now_ms join_backlog int num job_key queue_of ring read line_of join is_behind first_of unsure_for inherit
-- #first budget_of barred_until has_hand take_place take_slot enter
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

local function enqueue(id, kind, instance, lane, key, ref, target, not_before, deadline, digest, message)
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
  local job = { id = id, kind = kind, instance = instance, lane = lane, at = now }
  local fields = { 'kind', kind, 'instance', instance, 'at', now, 'lane', lane, 'digest', digest }
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
  inherit(job)
  fields[8] = job.lane
  if not_before > now then
    redis.call('HSET', job_key(id), unpack(fields))
    move(job, 'scheduled', now, message, not_before)
  else
    if kind == UPDATE then join(job) end
    enter(job, fields, now, message)
  end
  return { id, 1 }
end

local answers = {}
for at = 3, #ARGV, EACH do
  local one = not alone and join_backlog(unpack(ARGV, at, at + EACH - 1)) and { ARGV[at], 1 }
  answers[#answers + 1] = one or enqueue(unpack(ARGV, at, at + EACH - 1))
end
if token ~= '' then redis.call('SET', batch, place, 'EX', 60) end
return answers
