-- #include life
-- #include slots
-- The one decision that prevents duplicates, taken before the first byte of a request leaves: may this claim send?
-- ARGV: tag, id, kind, instance, lane, key, ref, opportunity_id ('' = not given), not_before, deadline, horizon_ms, ttl_s
-- Returns {verdict, ...}:
--   go, attempt, opportunity_id, age_ms, replays, trying_ms    recorded as sending; send now. The age counts from the
--                             enqueueing or the last replay, `trying` from the first attempt since
--   soon, ms                  a slot is reserved that many ms ahead; come back then
--   waiting | scheduled | held | blocked | in_doubt | expired     moved there; nothing to send
--   settled, state            a copy of a job that is elsewhere already; dropped
--   twin, job id              another job stands under the same idempotency key; this one is discarded
--   lost                      the claim is no longer ours
local tag, id, kind, instance, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, ref, opportunity_id = ARGV[6], ARGV[7], ARGV[8]
local not_before, deadline, horizon, ttl_s = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local now = now_ms()
local message = redis.call('HGET', claim_key(tag), 'message')
if not message then return { 'lost' } end

local job = read(id)
local known = job.state and job.kind and job.kind ~= '' and job.instance ~= ''
if known and (job.kind ~= kind or job.instance ~= instance) then
  -- Another job under an id that is taken: that job is left alone, and this message is put aside with the unreadable.
  local aside = 'raw-' .. tag
  redis.call('HSET', job_key(aside), 'state', 'dead', 'at', int(now), 'since', int(now), 'cause', 'malformed', 'detail',
    'another job stands under its id', 'message', message)
  redis.call('ZADD', P .. 'dead', int(now), aside)
  let_go(tag)
  return { 'settled', job.state }
end
if job.state == 'sending' and job.token == tag then
  -- The answer to this very call was lost on the way to the worker, which therefore has not sent.
  local again = redis.call('HMGET', job_key(id), 'attempts', 'replays', 'replayed_at', 'first_at')
  local target = opportunity_id ~= '' and opportunity_id or (redis.call('HGET', P .. 'refs:' .. instance, ref) or '')
  return { 'go', tonumber(again[1]), target, now - tonumber(again[3] or job.at), tonumber(again[2] or 0),
    now - tonumber(again[4] or now) }
elseif job.state == 'sending' and not owns(job.token) and job.kind == 'opportunities.create' then
  redis.call('HSET', job_key(id), 'cause', 'worker_lost', 'detail', 'the worker died while sending')
  move(job, 'in_doubt', now, message)
  let_go(tag)
  return { 'in_doubt' }
elseif job.state and job.state ~= 'queued' and not (job.state == 'sending' and not owns(job.token)) then
  let_go(tag)
  return { 'settled', job.state }
end

-- Free to be begun. What the ledger does not know yet is written now: a message that another Celery application pushed
-- is seen for the first time here, or was held or lost unread before; a replay may have mended where it goes. An update
-- whose owner is gone counts as queued.
redis.call('HSET', job_key(id), 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', known and job.lane or lane,
  'at', job.at or int(now))
if ref ~= '' then redis.call('HSET', job_key(id), 'ref', ref) end
if key ~= '' and job.key ~= key then
  redis.call('HSET', job_key(id), 'key', key)
  local idem = P .. 'idem:' .. instance .. ':' .. key
  local first = redis.call('GET', idem)
  if first and first ~= id then
    local said = 'job ' .. first .. ' stands under the same idempotency key'
    redis.call('HSET', job_key(id), 'cause', 'twin', 'detail', said, 'points_to', first)
    job = read(id)
    move(job, 'discarded', now)
    job.key = nil
    let_go(tag)
    retire(job, ttl_s)
    write_failure(id, 'discarded', said, now, ttl_s)
    return { 'twin', first }
  end
  redis.call('SET', idem, id)
end
job = read(id)

local function stop(to, score)
  free_slot(job, now)
  move(job, to, now, message, score)
  let_go(tag)
  return { to }
end

if deadline > 0 and now >= deadline then
  local said = 'its deadline passed before it was sent'
  redis.call('HSET', job_key(id), 'cause', 'expired', 'detail', said)
  stop('expired')
  retire(job, ttl_s)
  write_failure(id, 'expired', said, now, ttl_s)
  return { 'expired' }
end
if not_before > now then return stop('scheduled', not_before) end
if redis.call('EXISTS', P .. 'hold:' .. instance) == 1 then return stop('held', turn(job)) end
if kind == 'opportunities.update' and opportunity_id == '' then
  opportunity_id = redis.call('HGET', P .. 'refs:' .. instance, ref) or ''
  if opportunity_id == '' then
    redis.call('ZADD', P .. 'blocked:' .. instance .. ':' .. ref, int(job.at), id)
    return stop('blocked', tonumber(job.at))
  end
end

-- A slot that was granted but is long past would make two requests stand too close together, and one that was granted
-- before a throttle is void.
local at = tonumber(job.slot_at or nil)
if not at or now - at > 500 or budget_of(instance, now).cool_until > now then
  if at then free_slot(job, now) end
  at = nil
  if redis.call('EXISTS', P .. 'waiting:' .. instance) == 0 then at = take_slot(instance, id, now, horizon) end
  if not at then
    stand_in_line(job, now, message)
    let_go(tag)
    return { 'waiting' }
  end
end
if at - now <= 2 then
  local early = tally(instance, now)
  if early > horizon then
    redis.call('HSET', P .. 'budget:' .. instance, 'next', int(now + early))
    free_slot(job, now)
    stand_in_line(job, now, message)
    let_go(tag)
    return { 'waiting' }
  end
  if early > 0 then at = now + early + 2 end
end
if at - now > 2 then
  redis.call('HSET', job_key(id), 'slot_at', int(at))
  return { 'soon', math.ceil(at - now) }
end

local attempts = redis.call('HINCRBY', job_key(id), 'attempts', 1)
move(job, 'sending', now)
redis.call('HSET', job_key(id), 'token', tag, 'sent_at', int(now))
if job.slot_at then redis.call('HDEL', job_key(id), 'slot_at') end
redis.call('HSETNX', job_key(id), 'first_at', int(now))
local replays, replayed_at, first_at = unpack(redis.call('HMGET', job_key(id), 'replays', 'replayed_at', 'first_at'))
return { 'go', attempts, opportunity_id, now - tonumber(replayed_at or job.at), tonumber(replays or 0),
  now - tonumber(first_at) }
