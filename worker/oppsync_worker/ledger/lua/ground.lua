-- What every script stands on: names, the clock, reading a job, Celery's results. Nothing here moves a job.
-- All times are milliseconds of Redis' own clock, so that no worker's clock can matter.

local P = 'oppsync:'
local CREATE, UPDATE = 'opportunities.create', 'opportunities.update'

local function int(n) return string.format('%.0f', n) end
-- The same as an argument for Redis, which writes whole numbers in full itself; asking costs a tenth of writing it here.
local function num(n) return n % 1 == 0 and n or int(n) end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A request that was counted leaves only at `at`: the CRM counts it then, and its window is over so much later. (Being late
-- is counted from the question, which Redis may have got late; nothing leaves in the future.) Returns when it counts now, or
-- nil when it counts no more.
local function counts_from(instance, counted, at)
  local sent = P .. 'sent:' .. instance
  local place = redis.call('LPOS', sent, counted)
  if not place then return end
  local from = int(math.max(tonumber(counted), math.min(at, now_ms())))
  redis.call('LSET', sent, place, from)
  return from
end

local function job_key(id) return P .. 'job:' .. id end
local function claim_key(tag) return P .. 'claim:' .. tag end
local function queue_of(lane) return 'opportunities.' .. lane end

-- Further fields that are asked for are in the second answer, from the 17th on.
local function read(id, ...)
  local v = redis.call('HMGET', job_key(id), 'state', 'token', 'kind', 'instance', 'lane', 'at', 'ref', 'key', 'slot_at',
    'message', 'target', 'record', 'number', 'deadline', 'place', 'mended', ...)
  return { id = id, state = v[1] or nil, token = v[2] or nil, kind = v[3] or nil, instance = v[4] or '', lane = v[5] or 'bulk',
    at = v[6] or nil, ref = v[7] or nil, key = v[8] or nil, slot_at = v[9] or nil, message = v[10] or nil,
    target = v[11] or nil, record = v[12] or nil, number = v[13] or nil, deadline = v[14] or nil, place = v[15] or nil,
    mended = v[16] or nil }, v
end

-- Whose a job is, for people, whatever has become of its entry.
local function whose_is(id)
  local instance = redis.pcall('HGET', job_key(id), 'instance')
  return type(instance) == 'string' and instance ~= '' and instance or id
end

-- A foreign message has no entry until it is first looked at: it is queued all the same.
local function state_of(job) return job.state or 'queued' end

local function ring(queue)
  local bell = P .. 'bell:' .. queue
  if redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
end

-- ISO 8601 in UTC, from days since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms").
local function iso(ms)
  local rest = ms % 86400000
  local z = (ms - rest) / 86400000 + 719468
  local doe = z % 146097
  local yoe = (doe - (doe - doe % 1460) / 1460 + (doe - doe % 36524) / 36524 - (doe - doe % 146096) / 146096) / 365
  yoe = yoe - yoe % 1
  local doy = doe - (365 * yoe + (yoe - yoe % 4) / 4 - (yoe - yoe % 100) / 100)
  local mp = (5 * doy + 2 - (5 * doy + 2) % 153) / 153
  local day = doy - (153 * mp + 2 - (153 * mp + 2) % 5) / 5 + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + (z - doe) / 146097 * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00', year, month, day, rest / 3600000, rest / 60000 % 60,
    rest / 1000 % 60, rest % 1000)
end

-- How long something is kept: whole seconds, and one at least. Redis refuses less, in the middle of a script.
local function seconds(ttl_s) return int(math.max(1, math.floor(tonumber(ttl_s) or 1))) end

-- Celery's own result document (celery.backends.base: `_get_result_meta`), published as its Redis backend does,
-- so that AsyncResult.get() wakes in any Celery application.
local function write_result(id, status, result, now, ttl_s)
  local document = '{"status":"' .. status .. '","result":' .. result .. ',"traceback":null,"children":[],"date_done":"'
    .. iso(now) .. '","task_id":' .. cjson.encode(id) .. '}'
  local key = 'celery-task-meta-' .. id
  -- A dead letter's result stays as long as the letter: without a time.
  redis.call('SET', key, document, unpack(ttl_s and { 'EX', seconds(ttl_s) } or {}))
  redis.call('PUBLISH', key, document)
end

local function write_failure(id, cause, message, now, ttl_s)
  local name = 'Job' .. ('_' .. cause):gsub('_(%l)', string.upper)
  write_result(id, 'FAILURE', '{"exc_type":' .. cjson.encode(name) .. ',"exc_message":[' .. cjson.encode(message)
    .. '],"exc_module":"oppsync_worker.contract.failures"}', now, ttl_s)
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

-- The place of a waiting job: interactive before bulk, then by age. Ages are below 10^13 ms until the year 2286. One that
-- was refused has a place of its own: behind all that waited then.
local function turn(job)
  if job.place then return 1e13 + tonumber(job.place) end
  return (job.lane == 'interactive' and 0 or 1e13) + tonumber(job.at or 0)
end

-- Whether a request is another one than that of the job that stands: by kind, instance, and what it asks for. An entry of
-- an older version has no digest, and a message of our own producers was compared when it was enqueued (''). A foreign job
-- that was filed and not begun has no digest yet: of two foreign messages the bodies are compared (`asks`).
local function differs(standing, kind, instance, digest, asks)
  local known, of, said, body = unpack(redis.call('HMGET', job_key(standing), 'kind', 'instance', 'digest', 'asks'))
  if not known or known == '' or (of or '') == '' then return false end
  if known ~= kind or of ~= instance then return true end
  if said and said ~= '' then return digest ~= '' and said ~= digest end
  return (body or '') ~= '' and asks and body ~= asks or false
end

-- A message that stands for no job is kept, whole, as a dead letter of its own.
local function put_aside(tag, message, now, cause, detail, queue, version)
  local key = job_key('raw-' .. tag)
  redis.call('HSET', key, 'state', 'dead', 'at', int(now), 'since', int(now), 'cause', cause, 'detail', detail, 'message',
    message)
  if queue then redis.call('HSET', key, 'queue', queue, 'version', version) end
  redis.call('ZADD', P .. 'dead', int(now), 'raw-' .. tag)
end

-- #level
