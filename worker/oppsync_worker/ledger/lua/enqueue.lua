-- #include life
-- Record a job and push it, or answer with the job that already stands under its id or its idempotency key.
-- ARGV: id, kind, instance, lane, key, ref, target ('' = none), not_before, deadline (ms, 0 = none), message
-- Returns {job id, 1 if it was recorded now}
local id, kind, instance, lane, key, ref, target = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local not_before, deadline = tonumber(ARGV[8]), tonumber(ARGV[9])
-- Whether a job stands under this id. What an aborted enqueueing has left, for want of the right to take it back, is none
-- (undo.lua).
local function stands(other)
  if redis.call('EXISTS', job_key(other)) == 0 then return false end
  if redis.call('HGET', job_key(other), 'cause') ~= 'aborted' then return true end
  redis.call('HDEL', job_key(other), 'cause', 'detail')
  return false
end
if stands(id) then return { id, 0 } end
if key ~= '' then
  local idem = P .. 'idem:' .. instance .. ':' .. key
  local first = redis.call('GET', idem)
  if first and stands(first) then return { first, 0 } end
  redis.call('SET', idem, id)
end
local now = now_ms()
redis.call('HSET', job_key(id), 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', lane, 'at', int(now))
if key ~= '' then redis.call('HSET', job_key(id), 'key', key) end
if ref ~= '' then redis.call('HSET', job_key(id), 'ref', ref) end
if target ~= '' then redis.call('HSET', job_key(id), 'target', target) end
if deadline > 0 then redis.call('HSET', job_key(id), 'deadline', int(deadline)) end
if ref ~= '' and kind == CREATE then redis.call('HSET', P .. 'making:' .. instance, ref, id) end
if not_before > now then
  move(read(id), 'scheduled', now, ARGV[10], not_before)
else
  if kind == UPDATE then join(read(id)) end
  redis.call('LPUSH', queue_of(lane), ARGV[10])
  ring(queue_of(lane))
end
return { id, 1 }
