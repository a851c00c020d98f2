-- The budget of one instance: evenly spaced slots on Redis' clock, with a cap on calls in flight, and a breaker.
--
-- oppsync:budget:<instance>    requests, window_ms, concurrency, call_ms and more (set by workers at start);
--                              next (the first free slot), cool_until, learned, learned_at;
--                              failures in a row, trips of the breaker, open_until, trial and trial_until;
--                              turned (how many jobs go before the next look-up, while jobs wait)
-- oppsync:inflight:<instance>  job or look/<token>/<job> -> when its call must be over, should its worker die
-- oppsync:calls                the same for all instances together; oppsync:capacity: how many calls all workers that live
--                              have hands for (present.lua)
-- oppsync:sent:<instance>      when the last requests were begun (or left, if that was told), as many as the window allows, in
--                              the order in which they were begun
-- oppsync:looking:<instance>   jobs in doubt whose look-up wants a slot, by when they began to want it
-- oppsync:granted              jobs in doubt whose look-up has a slot and no worker yet, by the time of the slot
-- oppsync:slots                instance with waiting jobs or look-ups -> when to look at it again
--
-- As many slots as there are requests span the window and a guard: 1 % of the window, and at least 100 ms (a tenth of it, if
-- that is less). Jobs come late to their slots, though, on a busy machine: so the requests that were really begun are counted
-- too, and none is begun that would be one too many in any window and half of its guard. What is left to chance is the way
-- from there to the CRM, and how late a request may leave without anybody being told (late.lua); the half is for that.

local function guard_of(window_ms) return math.max(window_ms / 100, math.min(100, window_ms / 10)) end

local function budget_of(instance, now)
  local v = redis.call('HMGET', P .. 'budget:' .. instance, 'requests', 'window_ms', 'concurrency', 'call_ms', 'next',
    'cool_until', 'learned', 'learned_at', 'trips', 'open_until', 'trial_until', 'learned_least', 'learned_ms', 'trial', 'unknown')
  local b = { requests = tonumber(v[1] or 45), window_ms = tonumber(v[2] or 60000), concurrency = tonumber(v[3] or 2),
    call_ms = tonumber(v[4] or 60000), next = v[5] and tonumber(v[5]) or 0, cool_until = v[6] and tonumber(v[6]) or 0,
    learned = v[7] and tonumber(v[7]), learned_at = v[8] and tonumber(v[8]), trips = v[9] and tonumber(v[9]) or 0,
    open_until = v[10] and tonumber(v[10]) or 0, trial_until = v[11] and tonumber(v[11]) or 0,
    learned_least = v[12] and tonumber(v[12]), learned_ms = v[13] and tonumber(v[13]), trial = v[14] or nil, unknown = v[15] }
  -- What a throttle taught is believed for a while, and down to a floor; then the configured figure is tried again.
  if b.learned and now - (b.learned_at or 0) < (b.learned_ms or 3600000) then
    b.requests = math.min(b.requests, math.max(b.learned, b.learned_least or 1))
  end
  b.interval = b.requests > 0 and (b.window_ms + guard_of(b.window_ms)) / b.requests or 0
  -- After a cool-down: half the pace, climbing back to all of it within two windows.
  local climb = 2 * b.window_ms
  if b.cool_until > 0 and now < b.cool_until + climb then
    b.interval = b.interval / (0.5 + 0.5 * math.max(0, now - b.cool_until) / climb)
  end
  -- No slot is farther ahead than a window, or the pace if that is longer: Redis' clock was set back.
  if b.cool_until <= now and b.next > now + math.max(b.window_ms, b.interval) + 1 then b.next = now end
  return b
end

-- Until when `member` may not call: a cool-down, an open breaker, or one that somebody else is trying. 0 when it may.
local function barred_until(b, member, now)
  if b.cool_until > now then return b.cool_until end
  if b.trips == 0 then return 0 end
  if b.open_until > now then return b.open_until end
  return b.trial ~= member and b.trial_until > now and b.trial_until or 0
end

-- Whether one more call of an instance may be in flight: below its own cap, and below its share of all workers' hands,
-- which is four times what is free of them (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking
-- 6(2), 1998). So one instance alone gets four fifths, and any number of instances that hang leave something free. One call
-- every instance may always have: workers keep room for that (engine.room).
local SHARE, FEW = 4, 8
local function has_hand(instance, b)
  local inflight, calls = P .. 'inflight:' .. instance, P .. 'calls'
  local own = b.own or redis.call('ZCARD', inflight)
  if b.concurrency > 0 and own >= b.concurrency then return false, b.concurrency < 100 end
  if own == 0 then return true end
  b.capacity = b.capacity or tonumber(redis.call('GET', P .. 'capacity') or 250)
  local all = redis.call('ZCARD', calls)
  -- Calls that hang give way only when they end: until then whoever comes has a few beyond what was announced.
  return own < SHARE * (b.capacity - all) or (own < FEW and all < 2 * b.capacity)
end

local function take_place(instance, member, till)
  till = num(till)
  redis.call('ZADD', P .. 'inflight:' .. instance, till, member)
  redis.call('ZADD', P .. 'calls', till, member)
end

-- The place of a look-up. No job has such an id; and of two look-ups for one job, because the first was not heard of for
-- too long, each frees its own place alone.
local function looker(id, token) return 'look/' .. token .. '/' .. id end

-- Returns 1 if it had one. In both places it stands until the same time.
local function leave_place(instance, member)
  local inflight = P .. 'inflight:' .. instance
  local till = redis.call('ZSCORE', inflight, member)
  if not till then
    redis.call('ZREM', P .. 'calls', member)
    return 0
  end
  redis.known('ZREM', P .. 'calls', till, member)
  return redis.known('ZREM', inflight, till, member)
end

-- One slot for `member`, at most `horizon` ms ahead: when it may send, or nil and when to ask again.
local function take_slot(instance, member, now, horizon, b)
  b = b or budget_of(instance, now)
  local barred = barred_until(b, member, now)
  if barred > 0 then return nil, barred end
  local at = math.max(b.next, now)
  if at - now > horizon then return nil, at - horizon end
  if not has_hand(instance, b) then
    -- Places of calls of which nothing was heard are given up only when somebody wants them.
    redis.call('ZREMRANGEBYSCORE', P .. 'inflight:' .. instance, '-inf', int(now))
    redis.call('ZREMRANGEBYSCORE', P .. 'calls', '-inf', int(now))
    b.own = nil
    -- Whoever of the same instance ends asks at once; the pause is for hands that others have left. An instance that is at
    -- its own cap has nothing to hope for from others: thousands of those that hang must not keep Redis busy.
    local free, capped = has_hand(instance, b)
    if not free then return nil, now + (capped and 2000 or 250) end
  end
  if b.interval > 0 then
    b.next = at + b.interval
    redis.call('HSET', P .. 'budget:' .. instance, 'next', string.format('%.3f', b.next))
  end
  take_place(instance, member, at + b.call_ms)
  if b.own then b.own = b.own + 1 end
  -- The breaker is half open: this one call tries how the instance is, and all others wait for what comes of it.
  if b.trips > 0 then
    b.trial, b.trial_until = member, at + b.call_ms
    redis.call('HSET', P .. 'budget:' .. instance, 'trial', member, 'trial_until', int(b.trial_until))
  end
  return at
end

-- Whether a slot that was granted may still be used: one that is long past would make two requests stand too close
-- together, and one from before a throttle, or before the breaker opened, is void. Without a budget only its place in
-- flight can grow old.
local function still_good(instance, member, at, now)
  -- Mostly nothing has happened that the rest of the budget would tell of.
  local requests, window_ms, cool_until, trips, learned = unpack(redis.call('HMGET', P .. 'budget:' .. instance, 'requests',
    'window_ms', 'cool_until', 'trips', 'learned'))
  if not trips and not learned and (not cool_until or tonumber(cool_until) <= now) then
    requests = tonumber(requests or 45)
    return now - at <= (requests > 0 and 500 or 5000), { requests = requests, window_ms = tonumber(window_ms or 60000) }
  end
  local b = budget_of(instance, now)
  if now - at > (b.requests > 0 and 500 or 5000) or barred_until(b, member, now) > 0 then return false end
  return b.trips == 0 or b.trial == member, b
end

-- Count a request that is about to be begun, or say how many ms too early it is.
local function tally(instance, now, b)
  b = b or budget_of(instance, now)
  if b.requests == 0 then return 0 end
  local sent = P .. 'sent:' .. instance
  while redis.call('LLEN', sent) >= b.requests do
    if tonumber(redis.call('LINDEX', sent, 0)) > now then
      -- Redis' clock was set back. When they were sent is not known any more, but none was later than now.
      for _ = 1, redis.call('LLEN', sent) do redis.call('RPUSH', sent, int(now)); redis.call('LPOP', sent) end
    end
    local early = tonumber(redis.call('LINDEX', sent, 0)) + b.window_ms + math.ceil(guard_of(b.window_ms) / 2) - now
    if early > 0 then return early end
    redis.call('LPOP', sent)
  end
  redis.call('RPUSH', sent, int(now))
  -- Two minutes more: a request may be told to have left so late.
  redis.call('PEXPIRE', sent, int(b.window_ms * 2 + 120000))
  return 0
end

local function wants_slots(instance)
  return redis.call('EXISTS', P .. 'waiting:' .. instance, P .. 'looking:' .. instance) > 0
end

-- The head of a line. Of a job that goes from its line into its lane no more need be known than this; nil when it is
-- elsewhere: it is struck off.
local function head_of(instance, line, head, score)
  local state, message, lane, since, slot_at = unpack(redis.call('HMGET', job_key(head), 'state', 'message', 'lane', 'since',
    'slot_at'))
  if state ~= 'waiting' then
    redis.call('ZREM', line, head)
    return
  end
  return { id = head, instance = instance, state = state, message = message or nil, lane = lane or 'bulk', score = score,
    before = { state, since, slot_at } }
end

-- The slots are taken: from their line into their lanes, before all that has none, and the first of them first.
local function hand_over(granted, now)
  for i = #granted, 1, -1 do
    local job = granted[i].job
    move(job, 'queued', now, nil, nil, { 'slot_at', num(granted[i].at) }, job.before)
  end
end

-- Hand free slots to the heads of the two lines; while jobs wait too, so many of them (`look_gap`) go between two look-ups.
-- Returns how many were handed out. With `own`, which says how many calls are in flight, when the line is looked at next
-- stays as it was.
local function grant(instance, now, horizon, most, own)
  local line, looking, budget = P .. 'waiting:' .. instance, P .. 'looking:' .. instance, P .. 'budget:' .. instance
  local special = redis.call('EXISTS', P .. 'hold:' .. instance, looking) > 0
  if special and redis.call('EXISTS', P .. 'hold:' .. instance) == 1 then
    redis.call('ZREM', P .. 'slots', instance)
    return 0
  end
  local b
  -- They stay in the line until all that are granted now are known.
  local granted = {}
  for given = 0, most - 1 do
    local head, score = unpack(redis.call('ZRANGE', line, #granted, #granted, 'WITHSCORES'))
    local look = special and redis.call('ZRANGE', looking, 0, 0)[1]
    if not head and not look then
      redis.call('ZREM', P .. 'slots', instance)
      hand_over(granted, now)
      return given
    end
    if not b then
      b = budget_of(instance, now)
      b.own = own
    end
    local looks = look and (not head or tonumber(redis.call('HGET', budget, 'turned') or 0) <= 0)
    local token = looks and int(redis.call('INCR', P .. 'claim-seq'))
    local member = looks and looker(look, token) or head
    local at, again
    if looks or not b.unknown then at, again = take_slot(instance, member, now, horizon, b) end
    if looks and at then
      redis.call('HSET', budget, 'turned', redis.call('HGET', budget, 'look_gap') or '1')
      redis.call('ZREM', looking, look)
      if redis.call('HGET', job_key(look), 'state') == 'in_doubt' then
        redis.call('ZADD', P .. 'granted', int(at), look)
        redis.call('HSET', job_key(look), 'look_at', int(at), 'look_token', token)
      else
        leave_place(instance, member)
        b.own = nil
      end
    elseif at then
      if look then redis.call('HINCRBY', budget, 'turned', -1) end
      local job = head_of(instance, line, head, score)
      if job then
        granted[#granted + 1] = { job = job, at = at }
      else
        leave_place(instance, member)
        b.own = nil
      end
    elseif again then
      redis.call('ZADD', P .. 'slots', int(again), instance)
      hand_over(granted, now)
      return given
    else
      -- No worker knows the instance: its jobs are kept until one does (settle.lua, instance.lua).
      local job = occupant(line, head, 'waiting')
      if job then move(job, 'held', now, nil, turn(job)) end
    end
  end
  if not own then redis.call('ZADD', P .. 'slots', int(now), instance) end
  hand_over(granted, now)
  return most
end

local function stand_in_line(job, now, message)
  if job.slot_at then redis.call('HDEL', job_key(job.id), 'slot_at') end
  move(job, 'waiting', now, message, turn(job))
  redis.call('ZADD', P .. 'slots', 'NX', int(now), job.instance)
end

-- Where it really waits: with its instance on hold, behind its record's create or an earlier update, or for a slot. One
-- that was mended goes to a worker first, who reads anew what it waits for.
function line_up(job, now, message)
  if job.slot_at then
    redis.call('HDEL', job_key(job.id), 'slot_at')
    job.slot_at = nil
  end
  -- A foreign message that nobody could read yet is read where it came from.
  if job.instance == '' then return move(job, 'queued', now, message) end
  if job.kind == UPDATE and not job.record and (job.ref or job.target) then join(job) end
  local ordered = job.kind == UPDATE and job.record and not job.mended
  if redis.call('EXISTS', P .. 'hold:' .. job.instance) == 1 then
    if ordered then hurry(job) end
    return move(job, 'held', now, message, turn(job))
  end
  if ordered and is_behind(job) then
    hurry(job)
    return move(job, 'blocked', now, message, tonumber(job.at))
  end
  local wait_ms = ordered and unsure_for(job) or 0
  if wait_ms > 0 then
    redis.call('HSET', job_key(job.id), 'cause', 'unsettled', 'detail', 'an earlier update of the record may be under way still')
    return move(job, 'scheduled', now, message, now + wait_ms)
  end
  stand_in_line(job, now, message)
end

-- The same for a job that has just come, with the slot that it may find free. Not even looked for is one while the line's
-- next look lies ahead: a backlog does not make enqueueing dear. `fields` are what is known of the job, not written yet.
local function enter(job, fields, now, message)
  local instance, key = job.instance, job_key(job.id)
  local due = redis.call('ZSCORE', P .. 'slots', instance)
  if due or redis.call('EXISTS', P .. 'hold:' .. instance) == 1
    or (job.kind == UPDATE and (is_behind(job) or unsure_for(job) > 0)) then
    redis.call('HSET', key, unpack(fields))
    line_up(job, now, message)
    if due and tonumber(due) <= now then grant(instance, now, 250, 2) end
    return
  end
  local b = budget_of(instance, now)
  local at, again
  if not b.unknown then at, again = take_slot(instance, job.id, now, 250, b) end
  if at then
    redis.call('HSET', key, 'state', 'queued', 'slot_at', num(at), 'since', num(now), unpack(fields))
    redis.call('RPUSH', queue_of(job.lane), message)
    ring(queue_of(job.lane))
  else
    redis.call('HSET', key, unpack(fields))
    move(job, 'waiting', now, message, turn(job))
    redis.call('ZADD', P .. 'slots', int(again or now), instance)
  end
end

-- A call is over, or never began: its place in flight is free for the next in line, and so is the trial. `mood` is what
-- `mood_of` has read, if it was.
local function free(instance, member, now, mood)
  local budget = P .. 'budget:' .. instance
  local had = leave_place(instance, member)
  local trial = mood and mood[3]
  if not mood then trial = redis.call('HGET', budget, 'trial') end
  if trial == member then
    redis.call('HDEL', budget, 'trial', 'trial_until')
    had = 1
  end
  if had == 0 then return end
  if wants_slots(instance) then
    -- Where very many are in flight, places are given again eight at a time: that costs less, and workers claim several at
    -- once. Should calls stop to end in between, the line's next look is a quarter of a second ahead at most.
    local left = redis.call('ZCARD', P .. 'inflight:' .. instance)
    if left < 100 then grant(instance, now, 250, 1, left) elseif left % 8 == 0 then grant(instance, now, 250, 8, left) end
  else
    -- A pause for want of a hand is over; nobody who comes need sit it out.
    redis.call('ZREM', P .. 'slots', instance)
  end
end

-- A slot of which no use was made is the next one again, unless one was handed out after it.
local function give_back(instance, at, now)
  local b = budget_of(instance, now)
  local beyond = b.next - at - b.interval
  if b.interval > 0 and beyond > -0.01 and beyond < 1.01 then
    redis.call('HSET', P .. 'budget:' .. instance, 'next', string.format('%.3f', at))
  end
end

-- A job that is not sent now, or whose call is over.
local function free_slot(job, now, mood)
  if job.slot_at then
    redis.call('HDEL', job_key(job.id), 'slot_at')
    give_back(job.instance, tonumber(job.slot_at), now)
  end
  job.slot_at = nil
  free(job.instance, job.id, now, mood)
end

-- What is known of how an instance does (pulse).
local function mood_of(instance)
  return redis.call('HMGET', P .. 'budget:' .. instance, 'failures', 'trips', 'trial', 'breaker_failures', 'open_ms',
    'max_open_ms', 'failed_sends', 'refusals')
end

-- How an instance does: '1' it answered, '0' it failed. After so many failures in a row the breaker opens, and nobody
-- calls; then one call at a time tries, and each that fails doubles the pause. A look-up that is answered says nothing of
-- jobs that fail (`failed_sends`, those of the failures that were no look-ups): SprintHub may read and not write.
local function pulse(instance, member, beat, now, mood)
  local budget = P .. 'budget:' .. instance
  mood = mood or mood_of(instance)
  local failures, trips, trial, most, open_ms, max_ms, failed_sends = unpack(mood)
  local look = member:sub(1, 5) == 'look/'
  trips = tonumber(trips or 0)
  if beat == '1' then
    if look and failed_sends then
      redis.call('HSET', budget, 'failures', failed_sends)
      return
    end
    if failures or trips > 0 then
      redis.call('HDEL', budget, 'failures', 'failed_sends', 'trips', 'open_until', 'trial', 'trial_until')
      mood[3] = false
    end
    if trips > 0 and wants_slots(instance) then redis.call('ZADD', P .. 'slots', int(now), instance) end
    return
  end
  most = tonumber(most or 5)
  -- Calls that were in flight when it opened say nothing new.
  if beat ~= '0' or most == 0 or (trips > 0 and trial ~= member) then return end
  if not look then redis.call('HINCRBY', budget, 'failed_sends', 1) end
  if redis.call('HINCRBY', budget, 'failures', 1) < most and trips == 0 then return end
  local pause = math.min(tonumber(max_ms or 300000), tonumber(open_ms or 10000) * 2 ^ math.min(trips, 30))
  redis.call('HSET', budget, 'trips', trips + 1, 'open_until', int(now + pause))
  redis.call('HDEL', budget, 'trial', 'trial_until')
  mood[3] = false
  if wants_slots(instance) then redis.call('ZADD', P .. 'slots', int(now + pause), instance) end
end

-- A throttle: nobody calls this instance until the pause is over, on any worker. How long it may be is decided by the
-- policy; what may be learned is bounded where it is read (budget_of).
local function cool_down(instance, now, pause_ms, limit)
  local key = P .. 'budget:' .. instance
  local till = math.max(tonumber(redis.call('HGET', key, 'cool_until') or 0), now + pause_ms)
  local after = math.max(tonumber(redis.call('HGET', key, 'next') or 0), till)
  redis.call('HSET', key, 'cool_until', int(till), 'next', string.format('%.3f', after))
  if limit and limit > 0 then
    redis.call('HSET', key, 'learned', int(math.max(1, math.floor(limit * 0.9))), 'learned_at', int(now), 'taught', int(limit))
  end
end

-- #level
