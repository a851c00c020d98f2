-- #include life
-- #include slots
-- What a look-up has brought: one more answer, or the end of a doubt. Refused when somebody else looks by now.
-- ARGV: job id, token, to, ttl_s, then names and values of:
--   delay        ms until the next look-up (in_doubt) or until it is sent again (scheduled)
--   inquiry      JSON of what is known so far (in_doubt); sightings, JSON of the records that may be it
--   person       '1': looking is over, somebody must decide (in_doubt)
--   opportunity_id, result, unmarked       the record that is adopted (succeeded)
--   absent       '1': it was proved absent, once more
--   cause, detail, version, attempt, beat, cool_ms, limit      as in settle
-- Returns the state the job is in now; 'lost' when stale; 'taken' when the record to adopt is another job's.
local id, token, to, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local a = {}
for i = 5, #ARGV, 2 do a[ARGV[i]] = ARGV[i + 1] end
local now, key, place = now_ms(), job_key(id), looker(id, token)
local job = read(id)
if job.instance ~= '' then
  if a.beat then pulse(job.instance, place, a.beat, now) end
  if a.cool_ms then cool_down(job.instance, now, tonumber(a.cool_ms), tonumber(a.limit or nil)) end
end
if job.state ~= 'in_doubt' or redis.call('HGET', key, 'probe_token') ~= token then
  if job.instance ~= '' then free(job.instance, place, now) end
  return 'lost'
end
if to == 'succeeded' then
  local owner = redis.call('GET', P .. 'made:' .. job.instance .. ':' .. a.opportunity_id)
  if owner and owner ~= id then
    free(job.instance, place, now)
    return 'taken'
  end
end
redis.call('HDEL', key, 'probe_token', 'look_at', 'unheard')
if a.attempt then note(id, a.attempt) end
if a.cause then redis.call('HSET', key, 'cause', a.cause, 'detail', a.detail or '') end
if a.version then redis.call('HSET', key, 'version', a.version) end
-- Absent once, it goes back to where it stood; after that it may be the create that SprintHub cannot carry out, and waits
-- behind all others, so that not the same one tries a failing instance again and again.
if a.absent and redis.call('HINCRBY', key, 'absent', 1) > 1 then redis.call('HSET', key, 'place', int(now + 1)) end
if a.sightings then redis.call('HSET', key, 'sightings', a.sightings) end

if to == 'in_doubt' then
  redis.call('HSET', key, 'inquiry', a.inquiry)
  if a.person then
    redis.call('HSET', key, 'doubt', 'person')
    redis.call('ZREM', P .. 'probes', id)
    redis.call('ZREM', P .. 'looking:' .. job.instance, id)
  else
    redis.call('ZADD', P .. 'probes', int(now + tonumber(a.delay)), id)
  end
elseif to == 'succeeded' then
  if a.unmarked then
    redis.call('SET', P .. 'made:' .. job.instance .. ':' .. a.opportunity_id, id, 'EX', seconds(ttl_s))
  end
  succeed(job, now, nil, a.opportunity_id, a.result, ttl_s)
elseif to == 'scheduled' then
  move(job, 'scheduled', now, nil, now + tonumber(a.delay))
else
  move(job, to, now)
  if to == 'dead' then write_failure(id, a.cause, a.detail or '', now) end
end
free(job.instance, place, now)
return to
