-- #include life
-- #include slots
-- Entries in no place. The scripts leave none behind; this finds what a bug, a purge or a hand in Redis has left, and puts
-- it right where that can be done without guessing. ARGV: ttl_s, version, ms a job must have been queued to be suspected,
-- then job ids.
-- Returns {queued jobs of which the message must be looked for: id and since in turns, what was put right: id and word}
local ttl_s, version, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now, suspects, mended = now_ms(), {}, {}

local function mend(id, word)
  mended[#mended + 1] = id
  mended[#mended + 1] = word
end

-- Its message is gone, so that it can never be sent.
local function lose(job)
  local said = 'its message is in no place: was the queue purged, or a key removed by hand?'
  redis.call('HSET', job_key(job.id), 'cause', 'lost', 'detail', said, 'version', version)
  job.message = ''
  job.state = 'queued'
  move(job, 'dead', now, '')
  write_failure(job.id, 'lost', said, now)
  mend(job.id, 'lost')
end

local function mend_line(job)
  local line = line_of('record', job)
  if not redis.call('ZSCORE', line, job.id) then
    redis.call('ZADD', line, job.number, job.id)
    mend(job.id, 'out of line')
  end
  if job.state == 'blocked' and job.record:sub(1, 3) == 'id:' and first_of(job) == job.id then
    line_up(job, now)
    mend(job.id, 'stuck')
  end
end

-- The record that a person has named last, if nobody has written it down elsewhere.
local function adopted_record(job)
  local last = redis.call('LINDEX', P .. 'attempts:' .. job.id, -1)
  local ok, said = pcall(cjson.decode, last or '')
  return ok and type(said) == 'table' and said.event == 'adopted' and said.opportunity_id and int(said.opportunity_id) or nil
end

-- The CRM has it, and nobody who waits for it was told: it was adopted by halves.
local function tell_of_success(job)
  if redis.call('EXISTS', 'celery-task-meta-' .. job.id) == 1 then return end
  local made, attempts, replays = unpack(redis.call('HMGET', job_key(job.id), 'opportunity_id', 'attempts', 'replays'))
  made = made or adopted_record(job)
  if not made then return end
  redis.call('HSET', job_key(job.id), 'opportunity_id', made)
  write_result(job.id, 'SUCCESS', '{"state":"succeeded","job_id":' .. cjson.encode(job.id) .. ',"kind":' .. cjson.encode(job.kind)
    .. ',"instance":' .. cjson.encode(job.instance) .. ',"opportunity_id":' .. made .. ',"attempts":' .. (attempts or '0')
    .. ',"replays":' .. (replays or '0') .. ',"record":{"id":' .. made .. '}}', now, ttl_s)
  mend(job.id, 'untold')
end

-- Who waits for a record that is known goes on: the create's end was told by halves.
local function mend_resolving(job)
  if not job.ref then return end
  local refs, made = P .. 'refs:' .. job.instance, nil
  if job.state == 'blocked' and job.record == 'ref:' .. job.ref then
    made = redis.call('HGET', refs, job.ref)
  elseif job.state == 'succeeded' and job.kind == CREATE
    and redis.call('EXISTS', P .. 'record:' .. job.instance .. ':ref:' .. job.ref) == 1 then
    made = redis.call('HGET', job_key(job.id), 'opportunity_id') or adopted_record(job)
    if made then
      redis.call('HSET', job_key(job.id), 'opportunity_id', made)
      redis.call('HSET', refs, job.ref, made)
    end
  end
  if not made then return end
  mend(job.id, 'unresolved')
  if job.state == 'blocked' then mend_line(job) end
  resolve(job.instance, job.ref, made, now)
  return true
end

local SCORES = { scheduled = function() return now end, waiting = turn, held = turn }

local function hold_against_its_place(id)
  local job = read(id)
  local state, key = job.state, job_key(id)
  local place = state and place_of(state, job)
  if place and state ~= 'dead' and state ~= 'in_doubt' and (job.message or '') == '' then
    redis.call('ZREM', place, job.id)
    lose(job)
  elseif place and not redis.call('ZSCORE', place, job.id) then
    local score = SCORES[state] or function() return tonumber(job.at or now) end
    redis.call('ZADD', place, int(score(job)), job.id)
    if state == 'held' then
      redis.call('SADD', P .. 'holding', job.instance)
      -- It may have been on its way already, behind all others of a hold that was lifted.
      if redis.call('EXISTS', P .. 'hold:' .. job.instance) == 0 then redis.call('SADD', P .. 'releasing', job.instance) end
    end
    mend(job.id, 'misplaced')
  elseif state == 'sending' and not owns(job.token) then
    if job.kind == CREATE then
      redis.call('HSET', key, 'cause', 'worker_lost', 'detail', 'the claim under which it was sent is gone')
      move(job, 'in_doubt', now, '')
      mend(job.id, 'ownerless')
    else
      if job.record then unsure(job) end
      lose(job)
    end
    free_slot(job, now)
  elseif state == 'queued' then
    local since = tonumber(redis.call('HGET', key, 'since') or job.at or now)
    if now - since > patience then
      suspects[#suspects + 1] = job.id
      suspects[#suspects + 1] = int(since)
    end
  elseif ENDED[state] and redis.call('TTL', key) < 0 then
    redis.call('HDEL', key, 'message')
    if state == 'succeeded' and job.kind then tell_of_success(job) end
    retire(job, ttl_s)
    mend(job.id, 'never forgotten')
  end
  if job.state == 'waiting' and redis.call('EXISTS', P .. 'hold:' .. job.instance) == 0
    and not redis.call('ZSCORE', P .. 'slots', job.instance) then
    redis.call('ZADD', P .. 'slots', int(now), job.instance)
    mend(job.id, 'out of sight')
  end
  if job.state == 'in_doubt' and not redis.call('ZSCORE', P .. 'probes', job.id)
    and redis.call('HGET', key, 'doubt') ~= 'person' then
    redis.call('ZADD', P .. 'probes', int(now), job.id)
    mend(job.id, 'out of sight')
  end
  if mend_resolving(job) then job = read(job.id) end
  if job.record and (IDLE[job.state] or job.state == 'queued' or job.state == 'sending') then mend_line(job) end
end
for i = 4, #ARGV do
  local suspected, put_right = #suspects, #mended
  if not apart(hold_against_its_place, ARGV[i]) then
    broken_at(whose_is(ARGV[i]))
    for at = #suspects, suspected + 1, -1 do suspects[at] = nil end
    for at = #mended, put_right + 1, -1 do mended[at] = nil end
  end
end
return { suspects, mended }
