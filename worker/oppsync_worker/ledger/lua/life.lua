-- The life of a job: the only code that moves one. Every other script is this file plus its own few lines.
--
-- A job is in exactly one place, and its message travels with it:
--   queued       the lane's list, or a claim (claimed, not yet sent): it has a slot, or nobody has looked at it yet
--   sending      a claim
--   scheduled    oppsync:schedule              by due time
--   waiting      oppsync:waiting:<instance>    by lane, then age
--   held         oppsync:held:<instance>       by age; oppsync:holding names the instances
--   blocked      oppsync:blocked               by age; behind whom, tells the line of its record (order.lua)
--   in_doubt     oppsync:in_doubt              by the time the answer was lost; when to look for it: oppsync:probes
--   dead         oppsync:dead                  by the time of burial
--   succeeded, discarded, merged, expired      no place; the entry itself goes away after its retention
--
-- A message outside of a list or claim stands in the field `message` of the job's hash. Beside its place, an idle job
-- with a deadline stands in oppsync:expiring, and an unfinished update in the line of its record.

-- #include ground

local LEGAL = {
  queued = 'sending waiting scheduled held blocked in_doubt dead expired discarded',
  -- Blocked: of two updates of a record that were both sent, because Redis forgot of one, the worker died.
  sending = 'waiting scheduled held blocked in_doubt dead succeeded',
  scheduled = 'queued waiting scheduled held blocked expired discarded',
  waiting = 'queued held expired discarded',
  held = 'waiting scheduled blocked expired discarded',
  blocked = 'waiting scheduled held expired discarded',
  in_doubt = 'succeeded scheduled waiting held dead discarded',
  dead = 'queued waiting scheduled held blocked discarded',
}
local ENDED = { succeeded = true, discarded = true, merged = true, expired = true }
-- Waiting for something else than a worker: here a deadline is watched. Elsewhere whoever is about to send looks at it.
local IDLE = { scheduled = true, waiting = true, held = true, blocked = true }

-- A job moves by `move`; where it waits from now on, unless somebody says, is found by `line_up` (slots.lua).
local move, line_up

-- #include order

local function place_of(state, job)
  if state == 'scheduled' then return P .. 'schedule' end
  if state == 'waiting' or state == 'held' then return P .. state .. ':' .. job.instance end
  if state == 'blocked' or state == 'in_doubt' or state == 'dead' then return P .. state end
end

-- Forget an ended job after its retention; the caller's key keeps answering for as long as that.
local function retire(job, ttl_s)
  ttl_s = seconds(ttl_s)
  redis.call('EXPIRE', job_key(job.id), ttl_s)
  redis.call('EXPIRE', P .. 'attempts:' .. job.id, ttl_s)
  if job.key then redis.call('EXPIRE', P .. 'idem:' .. job.instance .. ':' .. job.key, ttl_s) end
  if job.deadline then redis.call('ZREM', P .. 'expiring', job.id) end
  local making = P .. 'making:' .. job.instance
  if job.ref and job.kind == CREATE and redis.call('HGET', making, job.ref) == job.id then
    redis.call('HDEL', making, job.ref)
  end
end

-- When to look for a create in doubt for the first time, counted from its sending; -1 leaves it to a person.
local function open_inquiry(job, now)
  local sent_at = redis.call('HGET', job_key(job.id), 'sent_at')
  local first = tonumber(redis.call('HGET', P .. 'budget:' .. job.instance, 'probe_ms') or 5000)
  if first < 0 then
    redis.call('HSET', job_key(job.id), 'doubt', 'person')
  else
    redis.call('ZADD', P .. 'probes', int(math.max(now, tonumber(sent_at or now) + first)), job.id)
  end
end

local function close_inquiry(job)
  redis.call('ZREM', P .. 'probes', job.id)
  redis.call('ZREM', P .. 'looking:' .. job.instance, job.id)
  redis.call('HDEL', job_key(job.id), 'doubt', 'inquiry', 'probe_token', 'look_at', 'unheard')
end

-- Move a job from the state it is in to `to`. `message` is where the job's message is now, if not in its hash.
-- `score` orders it within its new place; `more` fields are written with it, and `before` is what these fields were, `state`
-- and `since` first, where that is known. A queued job is the first of its lane.
function move(job, to, now, message, score, more, before)
  local from = state_of(job)
  -- One that has just come has no state to leave.
  if not (to == 'queued' and not job.state) and not ((' ' .. (LEGAL[from] or '') .. ' '):find(' ' .. to .. ' ', 1, true)) then
    error('illegal transition of job ' .. job.id .. ': ' .. from .. ' -> ' .. to)
  end
  -- Where its message stands in its hash already it is not written once more.
  local kept = not message and job.message
  message = message or job.message
  local key = job_key(job.id)
  local left = place_of(from, job)
  if left and job.score then
    redis.known('ZREM', left, job.score, job.id)
  elseif left then
    redis.call('ZREM', left, job.id)
  end
  local place = place_of(to, job)
  if place then
    redis.call('HSET', key, 'state', to, 'since', num(now), unpack(kept and {} or { 'message', message or '' }))
    redis.call('ZADD', place, num(score or now), job.id)
    if to == 'held' then redis.call('SADD', P .. 'holding', job.instance) end
  elseif before then
    redis.known('HSET', key, before, 'state', to, 'since', num(now), unpack(more))
    if job.message then redis.known('HDEL', key, job.message, 'message') end
  else
    redis.call('HSET', key, 'state', to, 'since', num(now), unpack(more or {}))
    if job.message then redis.call('HDEL', key, 'message') end
  end
  if to == 'queued' then
    local queue = queue_of(job.lane)
    redis.call('RPUSH', queue, message)
    ring(queue)
  end
  job.state = to
  job.message = place and message or nil
  if IDLE[to] and job.deadline then redis.call('ZADD', P .. 'expiring', job.deadline, job.id) end
  if from == 'in_doubt' then close_inquiry(job) end
  if to == 'in_doubt' then open_inquiry(job, now) end
  if job.record and to == 'dead' then
    redis.call('ZADD', line_of('letters', job), job.number, job.id)
    if not waits_for_letters(job.instance) then leave(job, now) end
  elseif job.record and ENDED[to] then
    forget_letter(job)
    leave(job, now)
  end
end

-- Whether a foreign message is another one than that of the job, or of the dead letter, that stands under its id. `own`: '1'
-- for our producers' messages; `asks`: the digest of its body. (A job of an older version may have none to compare with.)
local function is_known(job) return job.state and (job.kind or '') ~= '' and job.instance ~= '' end
local function is_another(job, own, asks)
  if own ~= '0' or not job.state then return false end
  local foreign, body = unpack(redis.call('HMGET', job_key(job.id), 'foreign', 'asks'))
  if not foreign then return is_known(job) or job.state == 'dead' end
  return (body or '') ~= '' and asks and body ~= asks
end

-- Whether it is this job's own message.
local function stands_for(job, own, asks) return is_known(job) and not is_another(job, own, asks) end

-- The job behind a member of a place. One that is elsewhere is struck off: it must not keep all others waiting.
local function occupant(place, id, state)
  local job = read(id)
  if job.state == state then return job end
  redis.call('ZREM', place, id)
end

-- Whether it is no longer what a person saw: it has come to where it is at another time than then (`seen`; '' = whatever it
-- is by now), or does not wait for a person any more (`persons`).
local function has_changed(job, seen, persons)
  if (seen or '') == '' then return false end
  local since, doubt = unpack(redis.call('HMGET', job_key(job.id), 'since', 'doubt'))
  return tonumber(since or 0) ~= tonumber(seen) or (persons == '1' and doubt ~= 'person')
end

-- The deadline passed before SprintHub had confirmed it: what is said must not sound as if nothing can have happened.
local function expire(job, now, message, ttl_s)
  local attempts, uncertain = unpack(redis.call('HMGET', job_key(job.id), 'attempts', 'uncertain'))
  local said = 'its deadline passed before it was sent'
  if uncertain then
    local often = attempts == '1' and 'once' or (attempts or '0') .. ' times'
    said = 'its deadline passed after it was sent ' .. often .. ' without a certain answer: SprintHub may have carried it out'
  elseif tonumber(attempts or 0) > 0 then
    said = 'its deadline passed after ' .. attempts .. (attempts == '1' and ' attempt' or ' attempts')
      .. ', of which none is known to have been carried out'
  end
  redis.call('HSET', job_key(job.id), 'cause', 'expired', 'detail', said)
  move(job, 'expired', now, message)
  retire(job, ttl_s)
  write_failure(job.id, 'expired', said, now, ttl_s)
end

-- The CRM has it: the outcome is written, updates that waited for the record go on. `more` fields are written with it, and
-- `gone` ones deleted, which are `cause` and `detail` if nobody says. What is written was `before` (move).
local function succeed(job, now, message, opportunity_id, result, ttl_s, more, gone, before)
  move(job, 'succeeded', now, message, nil, { 'opportunity_id', opportunity_id, unpack(more or {}) }, before)
  if not gone then
    redis.call('HDEL', job_key(job.id), 'cause', 'detail')
  elseif gone[1] then
    redis.call('HDEL', job_key(job.id), unpack(gone))
  end
  write_result(job.id, 'SUCCESS', result, now, ttl_s)
  retire(job, ttl_s)
  if job.ref and job.kind == CREATE then
    redis.call('HSET', P .. 'refs:' .. job.instance, job.ref, opportunity_id)
    resolve(job.instance, job.ref, opportunity_id, now)
  end
end

-- #level
-- #include slots
