-- #include life
-- #include slots
-- #include clock
-- #first int num now_ms job_key claim_key read state_of is_known budget_of barred_until still_good tally place_of move
-- #first line_of first_of unsure_for overtaken inherit
-- The one decision that prevents duplicates, taken before the first byte of a request leaves: may this claim send?
-- ARGV: tag, id, kind, instance, lane, key, ref, opportunity_id ('' = not given), not_before, deadline, horizon_ms, ttl_s,
--       number of the question (each new one about a claim has a higher one), digest ('' = our own producers' message,
--       which was compared when it was enqueued), then the names of the fields that an
--       update sets, or the name of the field that bears a create's marker ('' = none)
-- Returns {verdict, ...}:
--   go, attempt, opportunity_id, age_ms, replays, trying_ms, names, now    recorded as sending; send now. The age counts
--                             from the enqueueing or the last replay, `trying` from the first attempt since; the named
--                             fields of a replayed update have been written by a newer one since, and must not be sent;
--                             `now` is when the request is counted
--   soon, ms                  a slot is reserved that many ms ahead; come back then
--   waiting | scheduled | held | blocked | in_doubt | expired     moved there; nothing to send
--   superseded                a replayed update of which every field was written since; discarded
--   settled, state            a copy of a job that is elsewhere already; dropped
--   twin, job id              another job stands under the same idempotency key; this one is discarded
--   conflict, job id          the same, but that job asks for something else; this one is a dead letter
--   stale                     this question, or a later one, was answered before: nothing was changed
--   lost                      the claim is no longer ours
local tag, id, kind, instance, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, ref, opportunity_id = ARGV[6], ARGV[7], ARGV[8]
local not_before, deadline, horizon, ttl_s = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local now = now_ms()
local message, own, heard, whose, place, asks = unpack(redis.call('HMGET', claim_key(tag), 'message', 'own', 'question',
  'job', 'number', 'asks'))
if not message or whose ~= id then return { 'lost' } end
-- A link that stood still may deliver a question long after the same one, or the next, was answered: by then the job may
-- be on its way, and must not be moved from under it.
if heard and tonumber(ARGV[13]) <= tonumber(heard) then return { 'stale' } end
redis.known('HSET', claim_key(tag), { heard }, 'question', ARGV[13])

local digest = own == '0' and ARGV[14] or ''
local job, v = read(id, 'attempts', 'replays', 'replayed_at', 'first_at', 'since', 'sent_at', 'marker_field')
local known = is_known(job)
local stranger = known and own == '0' and redis.call('HEXISTS', job_key(id), 'foreign') == 0
-- What our own producers wrote was compared when it was enqueued (ground.lua): its kind and instance tell enough.
local another = stranger or (known and (job.kind ~= kind or job.instance ~= instance))
if another or (known and own == '0' and differs(id, kind, instance, digest, asks))
  or (not known and is_another(job, own, asks)) then
  -- Another job under an id that is taken: that job is left alone, and this message is put aside with the unreadable.
  put_aside(tag, message, now, 'malformed', 'another job stands under its id')
  let_go(tag)
  return { 'settled', job.state }
end
local function tries() return unpack(redis.call('HMGET', job_key(id), 'attempts', 'replays', 'replayed_at', 'first_at')) end
local function going(counted, drop, attempts, replays, replayed_at, first_at)
  return { 'go', tonumber(attempts), opportunity_id, now - tonumber(replayed_at or job.at), tonumber(replays or 0),
    now - tonumber(first_at or now), drop, counted }
end
local fields = {}
for i = 15, #ARGV do fields[#fields + 1] = ARGV[i] end
if job.state == 'dead' and redis.call('HGET', job_key(id), 'cause') == 'lost' then
  -- The sweep had given it up because this very message was nowhere.
  redis.call('ZREM', P .. 'dead', id)
  redis.call('HDEL', job_key(id), 'cause', 'detail', 'message')
  redis.call('HSET', job_key(id), 'state', 'queued')
  redis.call('DEL', 'celery-task-meta-' .. id)
  -- Its letter goes when it ends: what newer updates have written meanwhile it must not overwrite.
  if job.record then redis.call('ZADD', line_of('record', job), 'NX', job.number, id) end
  job = read(id)
  if job.record then inherit(job) end
end
if job.state == 'sending' and job.token == tag then
  -- An earlier question was answered, and its answer lost: the worker asks anew, and has therefore not sent.
  local b = budget_of(instance, now)
  local in_time_ms = b.requests > 0 and math.min(500, guard_of(b.window_ms) / 2) or 500
  if now - tonumber(v[21] or now) > in_time_ms then
    -- Since it was granted, the instance may have been put on hold or have throttled, and its slot is long past.
    redis.call('HINCRBY', job_key(id), 'attempts', -1)
    free_slot(job, now)
    stand_in_line(job, now, message)
    let_go(tag)
    return { 'waiting' }
  end
  local counted = counts_from(instance, v[22] or int(now), now) or int(now)
  redis.call('HSET', job_key(id), 'sent_at', int(now))
  if job.record then opportunity_id = job.record:sub(4) end
  return going(counted, job.record and overtaken(job, fields) or {}, tries())
elseif job.state == 'sending' and not owns(job.token) and job.kind == CREATE then
  redis.call('HSET', job_key(id), 'cause', 'worker_lost', 'detail', 'the worker died while sending')
  move(job, 'in_doubt', now, message)
  free_slot(job, now)
  let_go(tag)
  return { 'in_doubt' }
elseif job.state and job.state ~= 'queued' and not (job.state == 'sending' and not owns(job.token)) then
  let_go(tag)
  return { 'settled', job.state }
end

-- Free to be begun. What the ledger does not know yet is written now: a message that another Celery application pushed
-- is seen for the first time here, or was held or lost unread before; a replay may have mended where it goes. An update
-- whose owner is gone counts as queued.
if job.state == 'sending' then
  if job.record then unsure(job) end
  free_slot(job, now)
end
local means = opportunity_id ~= '' and 'id:' .. opportunity_id
if job.record and opportunity_id == '' and ref ~= '' and (job.ref ~= ref or job.target) then
  redis.call('HDEL', job_key(id), 'target')
  local made = redis.call('HGET', P .. 'refs:' .. instance, ref)
  means = made and 'id:' .. made or 'ref:' .. ref
end
local filed = known and job.state == 'queued' and (job.ref or '') == ref and (job.target or '') == opportunity_id
  and (job.key or '') == key and tonumber(job.deadline or 0) == deadline
if not filed then
  redis.call('HSET', job_key(id), 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', known and job.lane or lane,
    'at', job.at or int(now))
end
if own == '0' and not known then redis.call('HSET', job_key(id), 'foreign', '1', 'asks', asks or '') end
if digest ~= '' then redis.call('HSETNX', job_key(id), 'digest', digest) end
if ref ~= '' and not filed then redis.call('HSET', job_key(id), 'ref', ref) end
if opportunity_id ~= '' and not filed then redis.call('HSET', job_key(id), 'target', opportunity_id) end
if deadline > 0 and not filed then redis.call('HSET', job_key(id), 'deadline', int(deadline)) end
if key ~= '' and job.key ~= key then
  local idem = P .. 'idem:' .. instance .. ':' .. key
  local first = redis.call('GET', idem)
  if first and redis.call('EXISTS', job_key(first)) == 0 then first = nil end
  if first and first ~= id and differs(first, kind, instance, digest, asks) then
    -- Kept whole, for a person to decide which of the two was meant.
    local said = 'job ' .. first .. ' stands under the same idempotency key and asks for something else'
    redis.call('HSET', job_key(id), 'cause', 'conflict', 'detail', said, 'points_to', first)
    job = read(id)
    free_slot(job, now)
    move(job, 'dead', now, message)
    let_go(tag)
    write_failure(id, 'conflict', said, now)
    return { 'conflict', first }
  end
  redis.call('HSET', job_key(id), 'key', key)
  if first and first ~= id then
    local said = 'job ' .. first .. ' stands under the same idempotency key'
    redis.call('HSET', job_key(id), 'cause', 'twin', 'detail', said, 'points_to', first)
    job = read(id)
    move(job, 'discarded', now)
    free_slot(job, now)
    job.key = nil
    let_go(tag)
    retire(job, ttl_s)
    -- Who waits for the record waits for the other one's.
    if kind == CREATE and ref ~= '' then
      local other = read(first)
      if other.ref == ref and other.state and not ENDED[other.state] then
        redis.call('HSET', P .. 'making:' .. instance, ref, first)
        inherit(other)
      end
    end
    write_failure(id, 'discarded', said, now, ttl_s)
    return { 'twin', first }
  end
  redis.call('SET', idem, id)
end
if ref ~= '' and kind == CREATE then redis.call('HSET', P .. 'making:' .. instance, ref, id) end
-- Of two creates with one reference, updates wait for the one that was begun last.
if not known or (kind == CREATE and ref ~= '') then
  inherit({ id = id, kind = kind, instance = instance, lane = known and job.lane or lane, ref = ref ~= '' and ref or nil })
end
if not filed then
  job, v = read(id, 'attempts', 'replays', 'replayed_at', 'first_at', 'since', 'sent_at', 'marker_field')
end

local function stop(to, score)
  free_slot(job, now)
  move(job, to, now, message, score)
  let_go(tag)
  return { to }
end

local by = deadline > 0 and now >= deadline and deadline_time(now)
-- Nobody has vouched for the clock yet: what expires by mistake is gone for good.
if by == nil then return stop('scheduled', now + 1000) end
if by and by >= deadline then
  free_slot(job, now)
  expire(job, now, message, ttl_s)
  let_go(tag)
  return { 'expired' }
end
if not_before > now then return stop('scheduled', not_before) end

local overwritten = {}
if kind == UPDATE then
  if job.record and means and job.record ~= means then
    -- It was mended to go to another record.
    forget_letter(job)
    leave(job, now)
    job.record = nil
  end
  if not job.record then
    join(job, place)
    if place then inherit(job) end
    -- Whoever it will wait for must not wait behind a backlog, nor behind a hold that is lifted by and by.
    hurry(job)
  end
end
if job.mended then redis.call('HDEL', job_key(id), 'mended') end
if redis.call('EXISTS', P .. 'hold:' .. instance) == 1 then return stop('held', turn(job)) end
if kind == UPDATE then
  if job.record:sub(1, 4) == 'ref:' then return stop('blocked', tonumber(job.at)) end
  if first_of(job) ~= id then
    hurry(job)
    return stop('blocked', tonumber(job.at))
  end
  local wait_ms = unsure_for(job)
  if wait_ms > 0 then
    redis.call('HSET', job_key(id), 'cause', 'unsettled', 'detail', 'an earlier update of the record may be under way still')
    return stop('scheduled', now + wait_ms)
  end
  overwritten = overtaken(job, fields)
  if #fields > 0 and #overwritten == #fields then
    local said = 'newer updates have written every field of it'
    redis.call('HSET', job_key(id), 'cause', 'superseded', 'detail', said)
    stop('discarded')
    retire(job, ttl_s)
    write_failure(id, 'discarded', said, now, ttl_s)
    return { 'superseded' }
  end
  opportunity_id = job.record:sub(4)
end

local at = tonumber(job.slot_at or nil)
local good, budget
if at then good, budget = still_good(instance, id, at, now) end
if not good then
  if at then free_slot(job, now) end
  at = nil
  if not wants_slots(instance) then at = take_slot(instance, id, now, horizon) end
  if not at then
    stand_in_line(job, now, message)
    let_go(tag)
    return { 'waiting' }
  end
end
if at - now <= 2 then
  local early = tally(instance, now, budget)
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

local attempts, replays, replayed_at, first_at, since, sent_at, marker_field = unpack(v, 17)
local before = { job.state, since, job.token, sent_at, attempts }
attempts = tonumber(attempts or 0) + 1
local sent = { 'token', tag, 'sent_at', now, 'attempts', attempts }
if not first_at then
  sent[#sent + 1] = 'first_at'
  sent[#sent + 1] = now
end
if kind == CREATE then
  if first_at then before[6] = marker_field else before[7] = marker_field end
  sent[#sent + 1] = 'marker_field'
  sent[#sent + 1] = fields[1] or ''
end
move(job, 'sending', now, nil, nil, sent, before)
if job.slot_at then redis.known('HDEL', job_key(id), job.slot_at, 'slot_at') end
if kind == UPDATE then
  redis.call('ZADD', line_of('record', job), 0, id)
  -- Should nobody hear what becomes of it, it counts as written for those that may be replayed.
  if #fields > 0 and redis.call('EXISTS', line_of('letters', job)) == 1 then
    redis.call('HSET', job_key(id), 'writing', cjson.encode(fields))
  end
end
return going(int(now), overwritten, attempts, replays, replayed_at, first_at)
