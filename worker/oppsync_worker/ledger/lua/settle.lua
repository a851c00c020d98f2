-- #include life
-- #include slots
-- #include refusals
-- #first int num now_ms job_key claim_key queue_of read state_of iso seconds write_result let_go ring place_of move retire succeed
-- #first budget_of barred_until has_hand take_place leave_place take_slot wants_slots head_of hand_over grant free free_slot
-- #first mood_of pulse accepted line_of first_of wake forget_letter leave wrote resolve note
-- The end of a claim: acknowledge, change the ledger, take effect, all at once; refused when the owner is stale.
-- ARGV: tag, id, to, ttl_s, then names and values of:
--   delay        ms until it is tried again (scheduled)
--   cause, detail, version      why (every state but succeeded)
--   attempt      JSON of the attempt, kept in the job's history (succeeded: in the entry's field `success`)
--   result       JSON of the outcome (succeeded); opportunity_id
--   put_back     count it as a try that the job's own task asked for (`retries`)
--   marker       what the answer showed of the marker, 'lands' or 'lost'; funnel it was sent to
--   unmarked     '1': the record bears no marker, so that only this ledger can tell whose it is
--   wrote        JSON list of the fields that the update wrote, or may have written
--   unsure       '1': an update that may still be carried out
--   beat         how the instance does (pulse)
--   refund       give the attempt back, if one was begun: a throttle or a bad credential spends none
--   cool_ms, limit              a throttle: pause the whole instance, and what its answer taught
--   refusals     refused with 401 or 403: how many rounds of it, of different jobs, make a bad credential; hold_note and
--                fingerprint for the hold then set; most_alone, how often one job may be refused while others succeed, and
--                dead_version for its letter; own_pause_ms (doubled each time) and most_delay_ms until it is tried again
--   kind, instance, lane        of a job that was never begun
--   sent         '1': the request has really left, so that what became of it is true whatever this ledger remembers
-- Returns the state the job is in now (also when this very end was recorded before); 'lost' when stale; 'forgotten' when it
-- was sent and this ledger does not know it as sent under this claim: nothing was changed, and `recall` says what to do.
local tag, id, to, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local a = {}
for i = 5, #ARGV, 2 do a[ARGV[i]] = ARGV[i + 1] end
local now, key = now_ms(), job_key(id)
local message, own, queue, whose, asks = unpack(redis.call('HMGET', claim_key(tag), 'message', 'own', 'queue', 'job', 'asks'))
-- A promoted replica that lacked the last claims has given the tag away again.
if whose and whose ~= id then message = nil end
local job, v = read(id, 'since', 'opportunity_id', 'success', 'cause', 'detail', 'crashes')
local known = job.kind and job.kind ~= '' and job.instance ~= ''
if message and job.token ~= tag and is_another(job, own, asks) then
  -- Another message under a taken id, and a bad one: the job is left alone, wherever it is.
  local dead = to == 'dead'
  put_aside(tag, message, now, dead and a.cause or 'malformed', dead and a.detail or 'another job stands under its id',
    queue, a.version or '')
  let_go(tag)
  return 'dead'
end
local disowned = a.sent and 'forgotten' or 'lost'
if not message then
  if job.token ~= tag then return disowned end
  if job.state == to then return to end
  -- A refusal that is told once more: where it has led, is no matter of the one who tells it.
  if a.refusals and (job.state == 'scheduled' or job.state == 'dead') then return job.state end
  -- The truth arrived late: the claim ran out, the job was put in doubt, and now its own attempt tells how it ended.
  if job.state ~= 'in_doubt' then return disowned end
elseif a.sent and (job.state ~= 'sending' or job.token ~= tag) then
  return disowned
elseif job.state == 'sending' and job.token ~= tag then
  let_go(tag)
  return 'lost'
elseif job.state and job.state ~= 'sending' and job.state ~= 'queued' then
  -- The sweep had given it up because this very message was nowhere: now it can be replayed.
  if job.state == 'dead' and job.message == '' then redis.call('HSET', key, 'message', message) end
  let_go(tag)
  return 'lost'
end
if not known then
  redis.call('HSET', key, 'kind', a.kind or '', 'instance', a.instance or '', 'lane', a.lane or job.lane, 'at',
    job.at or int(now))
  if own == '0' then redis.call('HSET', key, 'foreign', '1', 'asks', asks or '') end
  job, v = read(id, 'since', 'opportunity_id', 'success', 'cause', 'detail', 'crashes')
end

local mood = (a.beat or to == 'succeeded') and not a.refusals and mood_of(job.instance) or nil
if a.refusals then
  to = refused(job, a, now)
elseif to == 'succeeded' then
  accepted(job, mood)
end
if a.beat then pulse(job.instance, id, a.beat, now, mood) end
if a.cool_ms and not a.refusals then cool_down(job.instance, now, tonumber(a.cool_ms), tonumber(a.limit or nil)) end
if a.refund and job.token == tag then redis.call('HINCRBY', key, 'attempts', -1) end
if a.wrote and job.record then wrote(job, cjson.decode(a.wrote)) end
if a.unsure and job.record then unsure(job) end
if a.marker then redis.call('HSET', P .. 'marker:' .. job.instance, a.funnel, a.marker) end

if to == 'succeeded' then
  if a.unmarked then
    redis.call('SET', P .. 'made:' .. job.instance .. ':' .. a.opportunity_id, id, 'EX', seconds(ttl_s))
  end
  -- The attempt is the last line of the history. In the job's own entry: a key more for every job would cost more than the
  -- line. A worker that came to an end with the job was not taken down by it (`crashes`).
  local since, opportunity_id, success, cause, detail, crashes = unpack(v, 17)
  local gone = {}
  if cause then gone[#gone + 1] = 'cause' end
  if detail then gone[#gone + 1] = 'detail' end
  if crashes then gone[#gone + 1] = 'crashes' end
  succeed(job, now, message, a.opportunity_id, a.result, ttl_s, a.attempt and { 'success', a.attempt }, gone,
    { job.state, since, opportunity_id, success })
elseif to == 'waiting' then
  stand_in_line(job, now, message)
elseif to == 'dead' and own == '0' and job.key and job.state == 'queued' and redis.call('HEXISTS', key, 'digest') == 0 then
  -- It was filed under its key, and nobody could read what it asks for: who uses the key again is the first, and no twin.
  local idem = P .. 'idem:' .. job.instance .. ':' .. job.key
  if redis.call('GET', idem) == id then redis.call('DEL', idem) end
  redis.call('HDEL', key, 'key')
  move(job, 'dead', now, message)
elseif to == 'held' and redis.call('EXISTS', P .. 'hold:' .. job.instance) == 0 then
  -- Its worker does not know the instance. If none has told of it lately, nobody does, and the whole line is kept (grant).
  local budget = P .. 'budget:' .. job.instance
  local told, asked = unpack(redis.call('HMGET', budget, 'announced_at', 'requests'))
  if not asked or (told and now - tonumber(told) > 60000) then redis.call('HSET', budget, 'unknown', '1') end
  move(job, 'held', now, message, turn(job))
else
  move(job, to, now, message, (to == 'scheduled' and now + tonumber(a.delay)) or (to == 'held' and turn(job)) or nil)
end
if message then let_go(tag) end
free_slot(job, now, mood)
if to ~= 'succeeded' then
  redis.call('HDEL', key, 'crashes')
  if a.attempt then note(id, a.attempt) end
end
if a.put_back then redis.call('HINCRBY', key, 'retries', 1) end
if to ~= 'succeeded' and a.cause then redis.call('HSET', key, 'cause', a.cause, 'detail', a.detail or '') end
if a.version then redis.call('HSET', key, 'version', a.version) end
if to == 'dead' then write_failure(id, a.cause, a.detail or '', now) end
return to
