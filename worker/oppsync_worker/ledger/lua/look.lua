-- #include life
-- #include slots
-- May this look-up be sent now? It was handed out with a slot (promote), and counts as a request like any other.
-- ARGV: job id, token, horizon_ms. Returns {'go', ms at which it is counted, how often the create was proved absent before},
-- {'soon', ms}, {'later'} (it wants another slot first), or {'lost'} (the job is in doubt no more, or somebody else looks).
local id, token, horizon, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), now_ms()
local job = read(id)
local mine, at = unpack(redis.call('HMGET', job_key(id), 'probe_token', 'look_at'))
if job.state ~= 'in_doubt' or mine ~= token then
  if job.instance ~= '' then free(job.instance, looker(id, token), now) end
  return { 'lost' }
end
local member = looker(id, token)
at = tonumber(at or 0)

local function later()
  redis.call('ZADD', P .. 'looking:' .. job.instance, 'NX', int(now), id)
  redis.call('ZADD', P .. 'slots', 'NX', int(now), job.instance)
  free(job.instance, member, now)
  return { 'later' }
end

if redis.call('EXISTS', P .. 'hold:' .. job.instance) == 1 or not still_good(job.instance, member, at, now) then
  return later()
end
if at - now <= 2 then
  local early = tally(job.instance, now)
  if early > horizon then
    redis.call('HSET', P .. 'budget:' .. job.instance, 'next', int(now + early))
    return later()
  end
  if early > 0 then
    at = now + early + 2
    redis.call('HSET', job_key(id), 'look_at', int(at))
  end
end
if at - now > 2 then return { 'soon', math.ceil(at - now) } end
-- Until its answer is told: how often one was begun of which nothing was heard (promote).
redis.call('HINCRBY', job_key(id), 'unheard', 1)
return { 'go', int(now), tonumber(redis.call('HGET', job_key(id), 'absent') or 0) }
