-- The life of a job: the only code that moves one. Every other script is this file plus its own few lines.
--
-- A job is in exactly one place, and its message travels with it:
--   queued       the lane's list, or a claim (claimed, not yet sent)
--   sending      a claim
--   scheduled    oppsync:schedule              by due time
--   waiting      oppsync:waiting:<instance>    by lane, then age
--   held         oppsync:held:<instance>       by age; oppsync:holding names the instances
--   blocked      oppsync:blocked               by age, and oppsync:blocked:<instance>:<external_ref>
--   in_doubt     oppsync:in_doubt              by the time the answer was lost
--   dead         oppsync:dead                  by the time of burial
--   succeeded, discarded, merged, expired      no place; the entry itself goes away after its retention
--
-- A message outside of a list or claim stands in the field `message` of the job's hash.
-- All times are milliseconds of Redis' own clock, so that no worker's clock can matter.

local P = 'oppsync:'

local LEGAL = {
  queued = 'sending waiting scheduled held blocked in_doubt dead expired discarded',
  sending = 'queued waiting scheduled held in_doubt dead succeeded',
  scheduled = 'queued discarded',
  waiting = 'queued discarded',
  held = 'queued discarded',
  blocked = 'queued discarded',
  in_doubt = 'succeeded scheduled waiting held dead discarded',
  dead = 'queued discarded',
}
local ENDED = { succeeded = true, discarded = true, merged = true, expired = true }

local function int(n) return string.format('%.0f', n) end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function job_key(id) return P .. 'job:' .. id end
local function claim_key(tag) return P .. 'claim:' .. tag end
local function queue_of(lane) return 'opportunities.' .. lane end

local function read(id)
  local names = { 'state', 'token', 'kind', 'instance', 'lane', 'at', 'ref', 'key', 'slot_at', 'message' }
  local values = redis.call('HMGET', job_key(id), unpack(names))
  local job = { id = id }
  for i, name in ipairs(names) do job[name] = values[i] or nil end
  job.lane = job.lane or 'bulk'
  job.instance = job.instance or ''
  return job
end

-- A foreign message has no entry until it is first looked at: it is queued all the same.
local function state_of(job) return job.state or 'queued' end

local function ring(queue)
  local bell = P .. 'bell:' .. queue
  if redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
end

-- ISO 8601 in UTC, from days since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms").
local function iso(ms)
  local days = math.floor(ms / 86400000)
  local rest = ms - days * 86400000
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00', year, month, day, math.floor(rest / 3600000),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- Celery's own result document (celery.backends.base: `_get_result_meta`), published as its Redis backend does,
-- so that AsyncResult.get() wakes in any Celery application.
local function write_result(id, status, result, now, ttl_s)
  local document = '{"status":"' .. status .. '","result":' .. result .. ',"traceback":null,"children":[],"date_done":"'
    .. iso(now) .. '","task_id":' .. cjson.encode(id) .. '}'
  local key = 'celery-task-meta-' .. id
  -- A dead letter's result stays as long as the letter: without a time.
  redis.call('SET', key, document, unpack(ttl_s and { 'EX', ttl_s } or {}))
  redis.call('PUBLISH', key, document)
end

local function write_failure(id, cause, message, now, ttl_s)
  local name = 'Job' .. ('_' .. cause):gsub('_(%l)', string.upper)
  write_result(id, 'FAILURE', '{"exc_type":' .. cjson.encode(name) .. ',"exc_message":[' .. cjson.encode(message)
    .. '],"exc_module":"oppsync_worker.contract.failures"}', now, ttl_s)
end

-- The place of a waiting job: interactive before bulk, then by age. Ages are below 10^13 ms until the year 2286.
local function turn(job) return (job.lane == 'interactive' and 0 or 1e13) + tonumber(job.at or 0) end

local function place_of(state, job)
  if state == 'scheduled' then return P .. 'schedule' end
  if state == 'waiting' or state == 'held' then return P .. state .. ':' .. job.instance end
  if state == 'blocked' or state == 'in_doubt' or state == 'dead' then return P .. state end
end

-- Forget an ended job after its retention; the caller's key keeps answering for as long as that.
local function retire(job, ttl_s)
  redis.call('EXPIRE', job_key(job.id), ttl_s)
  redis.call('EXPIRE', P .. 'attempts:' .. job.id, ttl_s)
  if job.key then redis.call('EXPIRE', P .. 'idem:' .. job.instance .. ':' .. job.key, ttl_s) end
end

-- Move a job from the state it is in to `to`. `message` is where the job's message is now, if not in its hash.
-- `score` orders it within its new place; `front` puts a queued job first in line.
local function move(job, to, now, message, score, front)
  local from = state_of(job)
  if not ((' ' .. (LEGAL[from] or '') .. ' '):find(' ' .. to .. ' ', 1, true)) then
    error('illegal transition of job ' .. job.id .. ': ' .. from .. ' -> ' .. to)
  end
  message = message or job.message
  local key = job_key(job.id)
  local left = place_of(from, job)
  if left then redis.call('ZREM', left, job.id) end
  if from == 'blocked' then redis.call('ZREM', P .. 'blocked:' .. job.instance .. ':' .. (job.ref or ''), job.id) end
  redis.call('HSET', key, 'state', to, 'since', int(now))
  local place = place_of(to, job)
  if place then
    redis.call('ZADD', place, int(score or now), job.id)
    redis.call('HSET', key, 'message', message or '')
    if to == 'held' then redis.call('SADD', P .. 'holding', job.instance) end
  elseif job.message then
    redis.call('HDEL', key, 'message')
  end
  if to == 'queued' then
    local queue = queue_of(job.lane)
    redis.call(front and 'RPUSH' or 'LPUSH', queue, message)
    ring(queue)
  end
  job.state = to
  job.message = place and message or nil
end

-- The job behind a member of a place. One that is elsewhere is struck off: it must not keep all others waiting.
local function occupant(place, id, state)
  local job = read(id)
  if job.state == state then return job end
  redis.call('ZREM', place, id)
end

-- Updates that waited for their record, oldest first behind what is in their lane. Returns how many went on.
local function unblock(line, most)
  local behind = redis.call('ZRANGE', line, 0, most - 1)
  for _, id in ipairs(behind) do
    local job = occupant(line, id, 'blocked')
    if job then move(job, 'queued', now_ms()) end
  end
  return #behind
end

local function owns(tag) return redis.call('EXISTS', claim_key(tag)) == 1 end

local function let_go(tag)
  redis.call('ZREM', P .. 'leases', tag)
  redis.call('DEL', claim_key(tag))
end

local function note(id, attempt)
  local key = P .. 'attempts:' .. id
  redis.call('RPUSH', key, attempt)
  redis.call('LTRIM', key, -200, -1)
end
