-- #include ground
-- Record a job and put it where it waits for its turn, or answer with the job that already stands under its id or its
-- idempotency key.
-- ARGV: id, kind, instance, lane, key, ref, target ('' = none), not_before, deadline (ms, 0 = none), message
-- Returns {job id, 1 if it was recorded now}
local id, kind, instance, lane, key, ref, target = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local not_before, deadline = tonumber(ARGV[8]), tonumber(ARGV[9])
if redis.call('EXISTS', job_key(id)) == 1 then return { id, 0 } end
if key ~= '' then
  local idem = P .. 'idem:' .. instance .. ':' .. key
  local first = redis.call('GET', idem)
  if first then return { first, 0 } end
  redis.call('SET', idem, id)
end
local now = now_ms()
local job = { id = id, kind = kind, instance = instance, lane = lane, at = int(now) }
local fields = { 'kind', kind, 'instance', instance, 'at', job.at, 'lane', lane }
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

-- The usual case in a backlog, kept short: a create behind others of its instance, whose next look lies ahead.
if kind == CREATE and not_before <= now then
  local due = tonumber(redis.call('ZSCORE', P .. 'slots', instance) or 0)
  if due > now and redis.call('EXISTS', P .. 'hold:' .. instance) == 0
    and (ref == '' or redis.call('EXISTS', P .. 'record:' .. instance .. ':ref:' .. ref) == 0) then
    redis.call('HSET', job_key(id), 'message', ARGV[10], 'state', 'waiting', unpack(fields))
    redis.call('ZADD', P .. 'waiting:' .. instance, int(turn(job)), id)
    if job.deadline then redis.call('ZADD', P .. 'expiring', job.deadline, id) end
    return { id, 1 }
  end
end

-- #include life

inherit(job)
fields[8] = job.lane
if not_before > now then
  redis.call('HSET', job_key(id), unpack(fields))
  move(job, 'scheduled', now, ARGV[10], not_before)
else
  if kind == UPDATE then join(job) end
  enter(job, fields, now, ARGV[10])
end
return { id, 1 }
