-- #include life
-- Record a job and push it, or answer with the job that already stands under its id or its idempotency key.
-- ARGV: id, kind, instance, lane, key, ref, not_before (ms, 0 = now), message
-- Returns {job id, 1 if it was recorded now}
local id, kind, instance, lane, key, ref = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call('EXISTS', job_key(id)) == 1 then return { id, 0 } end
if key ~= '' then
  local idem = P .. 'idem:' .. instance .. ':' .. key
  local first = redis.call('GET', idem)
  if first then return { first, 0 } end
  redis.call('SET', idem, id)
end
local now = now_ms()
redis.call('HSET', job_key(id), 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', lane, 'at', int(now))
if key ~= '' then redis.call('HSET', job_key(id), 'key', key) end
if ref ~= '' then redis.call('HSET', job_key(id), 'ref', ref) end
if tonumber(ARGV[7]) > now then
  move(read(id), 'scheduled', now, ARGV[8], tonumber(ARGV[7]))
else
  redis.call('LPUSH', queue_of(lane), ARGV[8])
  ring(queue_of(lane))
end
return { id, 1 }
