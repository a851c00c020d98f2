-- #include life
-- #include slots
-- The end of a claim: acknowledge, change the ledger, take effect, all at once; refused when the owner is stale.
-- ARGV: tag, id, to, ttl_s, then names and values of:
--   delay        ms until it is tried again (scheduled)
--   cause, detail, version      why (every state but succeeded)
--   attempt      JSON of the attempt, kept in the job's history
--   result       JSON of the outcome (succeeded); opportunity_id
--   put_back     count it as a try that the job's own task asked for (`retries`)
--   refund       give the attempt back: a throttle or a bad credential spends none
--   cool_ms, limit              a throttle: pause the whole instance, and what its answer taught
--   refusals     how many refusals in a row make a bad credential; hold_note and fingerprint for the hold then set
--   kind, instance, lane        of a job that was never begun
-- Returns the state the job is in now (also when this very end was recorded before); 'lost' when stale.
local tag, id, to, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local a = {}
for i = 5, #ARGV, 2 do a[ARGV[i]] = ARGV[i + 1] end
local now, key = now_ms(), job_key(id)
local message = redis.call('HGET', claim_key(tag), 'message')
local job = read(id)
if not message then
  if job.token ~= tag then return 'lost' end
  if job.state == to then return to end
  -- The truth arrived late: the claim ran out, the job was put in doubt, and now its own attempt tells how it ended.
  if job.state ~= 'in_doubt' then return 'lost' end
elseif job.state == 'sending' and job.token ~= tag then
  let_go(tag)
  return 'lost'
elseif job.state and job.state ~= 'sending' and job.state ~= 'queued' then
  let_go(tag)
  return 'lost'
end
if not job.instance or job.instance == '' or not job.kind then
  redis.call('HSET', key, 'kind', a.kind or '', 'instance', a.instance or '', 'lane', a.lane or job.lane, 'at',
    job.at or int(now))
  job = read(id)
end

local budget = P .. 'budget:' .. job.instance
if a.refusals then
  -- Calls that were in flight together are refused together; only one that was made after a pause counts again.
  local pausing = tonumber(redis.call('HGET', budget, 'cool_until') or 0) > now
  if pausing or redis.call('HINCRBY', budget, 'refusals', 1) < tonumber(a.refusals) then
    to = 'waiting'
  elseif redis.call('EXISTS', P .. 'hold:' .. job.instance) == 0 then
    redis.call('HDEL', budget, 'refusals')
    redis.call('SREM', P .. 'releasing', job.instance)
    redis.call('HSET', P .. 'hold:' .. job.instance, 'cause', 'credential', 'since', int(now), 'note', a.hold_note or '',
      'fingerprint', a.fingerprint or '')
    redis.call('SADD', P .. 'holds', job.instance)
  end
elseif to == 'succeeded' then
  redis.call('HDEL', budget, 'refusals')
end
if a.cool_ms then cool_down(job.instance, now, tonumber(a.cool_ms), tonumber(a.limit or nil)) end
if a.refund then redis.call('HINCRBY', key, 'attempts', -1) end

if to == 'waiting' then
  stand_in_line(job, now, message)
else
  move(job, to, now, message, (to == 'scheduled' and now + tonumber(a.delay)) or (to == 'held' and turn(job)) or nil)
end
if message then let_go(tag) end
free_slot(job, now)
-- A worker that came to an end with it was not taken down by it.
redis.call('HDEL', key, 'crashes')
if a.attempt then note(id, a.attempt) end
if a.put_back then redis.call('HINCRBY', key, 'retries', 1) end
if a.cause then redis.call('HSET', key, 'cause', a.cause, 'detail', a.detail or '') end
if a.version then redis.call('HSET', key, 'version', a.version) end

if to == 'succeeded' then
  redis.call('HSET', key, 'opportunity_id', a.opportunity_id)
  redis.call('HDEL', key, 'cause', 'detail')
  write_result(id, 'SUCCESS', a.result, now, ttl_s)
  if job.ref and job.kind == 'opportunities.create' then
    redis.call('HSET', P .. 'refs:' .. job.instance, job.ref, a.opportunity_id)
    local line = P .. 'blocked:' .. job.instance .. ':' .. job.ref
    -- The rest follows in batches (promote).
    if unblock(line, 20) == 20 then redis.call('SADD', P .. 'unblocking', line) end
  end
elseif to == 'dead' then
  write_failure(id, a.cause, a.detail or '', now)
end
if ENDED[to] then retire(job, ttl_s) end
return to
