-- #include life
-- #include slots
-- The end of a request that was really sent, of which this ledger knows nothing: a replica was promoted that lacks the last
-- writes, or somebody has set the clock of the data back. What has happened in SprintHub has happened, so the truth in hand
-- wins over a ledger that forgot. Where it changes anything, the job is put where `begin` had put it, sending under this
-- claim, and the end is settled after that like any other.
-- ARGV: tag, id, the end that is to be settled, lease_ms, ms since it was sent, message, then names and values of:
--   kind, instance, lane, key, ref, target, deadline, digest      of the job, as in enqueue and begin
--   marker_field    that a create bore its marker in
--   attempts        how many the job had with this one, where that is known
--   foreign         '1': another application wrote its message
--   opportunity_id  of the record (succeeded)
--   wrote, unsure   as in settle
-- Returns {'recalled'}: settle now, with the record of a twin (or '') if one was sent under its key; {'surplus', id}: the job has succeeded with another record already, or may have; or
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

local function tell(event, record)
  note(id, cjson.encode({ at = iso(now), event = event, opportunity_id = tonumber(record or nil), claim = tag }))
end

-- Two records for one job, or perhaps: a person has to know.
local function surplus_of(record)
  local said = record or 'unknown'
  if not (',' .. (redis.call('HGET', key, 'surplus') or '') .. ','):find(',' .. said .. ',', 1, true) then
    local before = redis.call('HGET', key, 'surplus')
    redis.call('HSET', key, 'surplus', before and before .. ',' .. said or said)
    redis.call('ZADD', P .. 'surplus', int(now), id)
    redis.call('ZREMRANGEBYSCORE', P .. 'surplus', '-inf', int(now - 30 * 86400000))
    tell('surplus', record)
    -- The line may be the first of a history whose job is to be forgotten in time.
    local history, left = P .. 'attempts:' .. id, redis.call('TTL', key)
    if left > 0 and redis.call('TTL', history) < 0 then redis.call('EXPIRE', history, left) end
  end
end

local function surplus(other)
  surplus_of(a.opportunity_id)
  return done('surplus', other)
end

-- The key stands for what was sent under it first. Whoever was enqueued under it because this ledger had forgotten that
-- is a twin, found out when it is about to be sent (begin). But one that has succeeded keeps the key, and so does one that
-- was sent, if what this claim sent was not carried out. If both were sent, and may have been, it is told.
local twin
local function take_key()
  local idem = P .. 'idem:' .. a.instance .. ':' .. a.key
  local first = redis.call('GET', idem)
  if first and first ~= id and redis.call('EXISTS', job_key(first)) == 1 then
    if differs(first, a.kind, a.instance, a.digest) then return end
    local standing, made = unpack(redis.call('HMGET', job_key(first), 'state', 'opportunity_id'))
    local may_exist = to == 'succeeded' or to == 'in_doubt'
    local sent = standing == 'succeeded' or standing == 'sending' or standing == 'in_doubt'
    if sent and may_exist and a.kind == CREATE then
      surplus_of(made)
      twin = made or ''
    end
    if standing == 'succeeded' or (sent and not may_exist) then return end
    redis.call('HDEL', job_key(first), 'key')
  end
  redis.call('SET', idem, id)
  redis.call('HSET', key, 'key', a.key)
end

-- An update takes its place as the first that was sent. Another of its record may have been sent meanwhile, since this
-- ledger had forgotten this one: then it stands behind that one. One that was forgotten whole comes before those that were
-- enqueued after it was sent, and is remembered like a dead letter that may be replayed: what they write it must not
-- overwrite, should it have to go again.
local function take_place_in_line()
  local update = read(id)
  if not update.record then
    join(update)
    local line, number = line_of('record', update), nil
    for _, other in ipairs(redis.call('ZRANGE', line, 0, -1)) do
      local at, of = unpack(redis.call('HMGET', job_key(other), 'at', 'number'))
      if other ~= id and of and tonumber(at or 0) > sent_at then number = math.min(tonumber(of), number or tonumber(of)) end
    end
    if number then
      update.number = tostring(number - 0.5)
      redis.call('HSET', key, 'number', update.number)
      redis.call('ZADD', line, update.number, id)
      if to ~= 'succeeded' then redis.call('ZADD', line_of('letters', update), update.number, id) end
    end
  end
  local line = line_of('record', update)
  redis.call('ZADD', line, 'NX', update.number, id)
  local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if first[1] == id or tonumber(first[2] or 1) > 0 then redis.call('ZADD', line, 0, id) end
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
  if a.attempts then
    local counted = tonumber(redis.call('HGET', key, 'attempts') or 0)
    redis.call('HSET', key, 'attempts', int(math.max(counted, tonumber(a.attempts))))
  else
    redis.call('HINCRBY', key, 'attempts', 1)
  end
  redis.call('HSETNX', key, 'first_at', int(sent_at))
  redis.call('HSETNX', key, 'digest', a.digest)
  -- Its message is another application's, and comes back with it when it is tried again: were the job known as ours, that
  -- would be taken for a stranger's copy.
  if not known and (a.foreign or (mine and own == '0')) then
    redis.call('HSET', key, 'foreign', '1', 'asks', mine and asks or '')
  end
  if a.ref then redis.call('HSETNX', key, 'ref', a.ref) end
  if a.target then redis.call('HSETNX', key, 'target', a.target) end
  if a.deadline and not known then redis.call('HSET', key, 'deadline', a.deadline) end
  if a.ref and a.kind == CREATE then redis.call('HSET', P .. 'making:' .. a.instance, a.ref, id) end
  if a.key then take_key() end
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
    take_place_in_line()
  end
  tell('recalled', a.opportunity_id)
  return { 'recalled', twin }
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
  tell('recalled', a.opportunity_id)
  return done('in_doubt')
end
-- An update that goes again by itself, or a create that was provably not carried out.
if a.kind == UPDATE and job.record then
  if a.wrote then wrote(job, cjson.decode(a.wrote)) end
  if a.unsure then unsure(job) end
end
if mine and state == 'dead' and job.message == '' then redis.call('HSET', key, 'message', message) end
return done('lost')
