-- #include life
-- #include slots
-- The end of a request that was really sent, of which this ledger knows nothing: a replica was promoted that lacks the last
-- writes, or somebody has set the clock of the data back. What has happened in SprintHub has happened, so the truth in hand
-- wins over a ledger that forgot. Where it changes anything, the job is put where `begin` had put it, sending under this
-- claim, and the end is settled after that like any other.
-- ARGV: tag, id, the end that is to be settled, lease_ms, ms since it was sent, message, then names and values of:
--   kind, instance, lane, key, ref, target, deadline, digest      of the job, as in enqueue and begin
--   marker_field    that a create bore its marker in
--   opportunity_id  of the record (succeeded)
--   wrote, unsure   as in settle
-- Returns {'recalled'}: settle now; {'surplus', id}: the job has succeeded with another record already, or may have; or
-- {word}, the state the job is in, when this end changes nothing; 'lost' when it is not this claim's to tell.
local tag, id, to, message = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local a = {}
for i = 7, #ARGV, 2 do a[ARGV[i]] = ARGV[i + 1] end
local now, key = now_ms(), job_key(id)
local sent_at = now - tonumber(ARGV[5])
local whose, own, kept, asks = unpack(redis.call('HMGET', claim_key(tag), 'job', 'own', 'message', 'asks'))
local mine = whose == id
-- By a version whose tags were bare numbers: its claim is another job's now.
local given_twice = whose and not mine
if mine then message = kept end
local job = read(id)
local known = job.kind and job.kind ~= '' and job.instance ~= ''
if known and (job.kind ~= a.kind or job.instance ~= a.instance) then return { 'lost' } end
local state = job.state
-- Its `begin` is remembered: whatever came after that came by right.
local remembered = known and job.token == tag

local function done(word, more)
  if mine then let_go(tag) end
  return { word, more }
end

local function tell(event)
  note(id, cjson.encode({ at = iso(now), event = event, opportunity_id = tonumber(a.opportunity_id or nil), claim = tag }))
end

-- Two records for one job, or perhaps: a person has to know.
local function surplus(other)
  local said = a.opportunity_id or 'unknown'
  if not (',' .. (redis.call('HGET', key, 'surplus') or '') .. ','):find(',' .. said .. ',', 1, true) then
    local before = redis.call('HGET', key, 'surplus')
    redis.call('HSET', key, 'surplus', before and before .. ',' .. said or said)
    redis.call('ZADD', P .. 'surplus', int(now), id)
    redis.call('ZREMRANGEBYSCORE', P .. 'surplus', '-inf', int(now - 30 * 86400000))
    tell('surplus')
    -- The line may be the first of a history whose job is to be forgotten in time.
    local history, left = P .. 'attempts:' .. id, redis.call('TTL', key)
    if left > 0 and redis.call('TTL', history) < 0 then redis.call('EXPIRE', history, left) end
  end
  return done('surplus', other)
end

local function restate()
  if known then
    local left = place_of(state, job)
    if left then redis.call('ZREM', left, id) end
    if state == 'in_doubt' then close_inquiry(job) end
    if state == 'queued' then
      -- Its place is free, but its slot was used.
      redis.call('HDEL', key, 'slot_at')
      free(job.instance, id, now)
    end
    if state == 'dead' or state == 'expired' then redis.call('DEL', 'celery-task-meta-' .. id) end
    if state == 'expired' then
      -- It would be forgotten in time; written anew it is not. Workers have no right to PERSIST.
      local entry, history = redis.call('HGETALL', key), redis.call('LRANGE', P .. 'attempts:' .. id, 0, -1)
      redis.call('DEL', key, P .. 'attempts:' .. id)
      redis.call('HSET', key, unpack(entry))
      if #history > 0 then redis.call('RPUSH', P .. 'attempts:' .. id, unpack(history)) end
      if job.key then redis.call('SET', P .. 'idem:' .. job.instance .. ':' .. job.key, id) end
    end
    redis.call('ZREM', P .. 'expiring', id)
  end
  redis.call('HDEL', key, 'message', 'cause', 'detail')
  redis.call('HSET', key, 'state', 'sending', 'kind', a.kind, 'instance', a.instance, 'lane', known and job.lane or a.lane,
    'at', job.at or int(sent_at), 'since', int(now), 'token', tag, 'sent_at', int(sent_at))
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSETNX', key, 'first_at', int(sent_at))
  redis.call('HSETNX', key, 'digest', a.digest)
  -- Its message is the one that another application wrote, and comes back with it when it is tried again.
  if mine and own == '0' and not known then redis.call('HSET', key, 'foreign', '1', 'asks', asks or '') end
  if a.ref then redis.call('HSETNX', key, 'ref', a.ref) end
  if a.target then redis.call('HSETNX', key, 'target', a.target) end
  if a.deadline and not known then redis.call('HSET', key, 'deadline', a.deadline) end
  if a.ref and a.kind == CREATE then redis.call('HSET', P .. 'making:' .. a.instance, a.ref, id) end
  local idem = a.key and P .. 'idem:' .. a.instance .. ':' .. a.key
  if idem and (redis.call('SET', idem, id, 'NX') or redis.call('GET', idem) == id) then
    redis.call('HSET', key, 'key', a.key)
  end
  if given_twice then
    redis.call('HSET', key, 'state', 'in_doubt', 'message', message)
    redis.call('ZADD', P .. 'in_doubt', int(now), id)
  elseif not mine then
    redis.call('HSET', claim_key(tag), 'job', id, 'queue', queue_of(a.lane), 'message', message, 'worker', 'recalled', 'own',
      own or '1')
    redis.call('ZADD', P .. 'leases', int(now + tonumber(ARGV[4])), tag)
  end
  if a.kind == CREATE then
    redis.call('HSET', key, 'marker_field', a.marker_field or '')
  else
    job = read(id)
    if not job.record then join(job) end
    redis.call('ZADD', line_of('record', job), 0, id)
  end
  tell('recalled')
  return { 'recalled' }
end

if given_twice and to ~= 'succeeded' then
  return { 'lost' }
elseif state == 'succeeded' then
  local first = redis.call('HGET', key, 'opportunity_id')
  if a.kind == CREATE and to == 'succeeded' and first ~= a.opportunity_id then return surplus(first) end
  if a.kind == CREATE and to == 'in_doubt' and not remembered then return surplus(first) end
  return done(to == 'succeeded' and 'succeeded' or 'lost')
elseif state == 'discarded' or state == 'merged' then
  if to == 'succeeded' and a.kind == CREATE then return surplus('') end
  return done('lost')
elseif a.kind == UPDATE and state == 'sending' and not remembered then
  -- It is under way once more, and nothing newer may overtake it: whoever sends it now settles it.
  return done('lost')
elseif to == 'succeeded' or not known then
  return restate()
elseif remembered then
  return done('lost')
elseif mine and state == 'queued' then
  return restate()
elseif a.kind == CREATE and to == 'in_doubt' then
  if state ~= 'in_doubt' then return restate() end
  -- Two requests of which nobody knows what came: that the other one was not carried out, should its owner still say so,
  -- ends the doubt no more.
  redis.call('HSET', key, 'token', tag)
  tell('recalled')
  return done('in_doubt')
end
-- An update that goes again by itself, or a create that was provably not carried out.
if a.kind == UPDATE and job.record then
  if a.wrote then wrote(job, cjson.decode(a.wrote)) end
  if a.unsure then unsure(job) end
end
if mine and state == 'dead' and job.message == '' then redis.call('HSET', key, 'message', message) end
return done('lost')
