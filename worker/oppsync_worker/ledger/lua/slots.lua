-- The budget of one instance: evenly spaced slots on Redis' clock, with a cap on calls in flight.
--
-- oppsync:budget:<instance>    requests, window_ms, concurrency, call_ms (set by workers at start);
--                              next (the first free slot), cool_until, learned, learned_at
-- oppsync:inflight:<instance>  job or look-up -> when its call must be over, should its worker die
-- oppsync:sent:<instance>      when the last requests were begun, as many as the window allows
-- oppsync:slots                instance with waiting jobs -> when to look at it again
--
-- Slots are 1 % further apart than the window divided by its requests. Jobs come late to their slots, though, on a busy
-- machine: so the requests that were really begun are counted too, and none is begun that would be one too many in any
-- window. What is left to chance is the way from there to the CRM, and the 1 % is for that.

local function budget_of(instance, now)
  local names = { 'requests', 'window_ms', 'concurrency', 'call_ms', 'next', 'cool_until', 'learned', 'learned_at' }
  local values = redis.call('HMGET', P .. 'budget:' .. instance, unpack(names))
  local b = {}
  for i, name in ipairs(names) do b[name] = tonumber(values[i] or nil) end
  b.requests, b.window_ms = b.requests or 45, b.window_ms or 60000
  b.concurrency, b.call_ms = b.concurrency or 2, b.call_ms or 60000
  b.next, b.cool_until = b.next or 0, b.cool_until or 0
  -- No slot is a window ahead: Redis' clock was set back.
  if b.cool_until <= now and b.next > now + b.window_ms then b.next = now end
  -- What a throttle taught holds for an hour; then the configured figure is tried again.
  if b.learned and b.requests > b.learned and now - (b.learned_at or 0) < 3600000 then b.requests = b.learned end
  b.interval = b.requests > 0 and b.window_ms / b.requests * 1.01 or 0
  -- After a cool-down: half the pace, climbing back to all of it within two windows.
  local climb = 2 * b.window_ms
  if b.cool_until > 0 and now < b.cool_until + climb then
    b.interval = b.interval / (0.5 + 0.5 * math.max(0, now - b.cool_until) / climb)
  end
  return b
end

-- One slot for `member`, at most `horizon` ms ahead: when it may send, or nil and when to ask again.
local function take_slot(instance, member, now, horizon)
  local b = budget_of(instance, now)
  if b.cool_until > now then return nil, b.cool_until end
  local inflight = P .. 'inflight:' .. instance
  if b.concurrency > 0 then
    redis.call('ZREMRANGEBYSCORE', inflight, '-inf', int(now))
    if redis.call('ZCARD', inflight) >= b.concurrency then return nil, now + 1000 end
  end
  local at = math.max(b.next, now)
  if at - now > horizon then return nil, at - horizon end
  if b.interval > 0 then
    redis.call('HSET', P .. 'budget:' .. instance, 'next', string.format('%.3f', at + b.interval))
  end
  if b.concurrency > 0 then redis.call('ZADD', inflight, int(at + b.call_ms), member) end
  return at
end

-- Count a request that is about to be begun, or say how many ms too early it is.
local function tally(instance, now)
  local b = budget_of(instance, now)
  if b.requests == 0 then return 0 end
  local sent = P .. 'sent:' .. instance
  while redis.call('LLEN', sent) >= b.requests do
    local early = tonumber(redis.call('LINDEX', sent, 0)) + b.window_ms - now
    if early > 0 then return early end
    redis.call('LPOP', sent)
  end
  redis.call('RPUSH', sent, int(now))
  redis.call('PEXPIRE', sent, int(b.window_ms * 2))
  return 0
end

-- Hand free slots to the head of the line. Returns how many jobs got one.
local function grant(instance, now, horizon, most)
  local line = P .. 'waiting:' .. instance
  if redis.call('EXISTS', P .. 'hold:' .. instance) == 1 then
    redis.call('ZREM', P .. 'slots', instance)
    return 0
  end
  for given = 0, most - 1 do
    local head = redis.call('ZRANGE', line, 0, 0)[1]
    if not head then
      redis.call('ZREM', P .. 'slots', instance)
      return given
    end
    local at, again = take_slot(instance, head, now, horizon)
    if not at then
      redis.call('ZADD', P .. 'slots', int(again), instance)
      return given
    end
    local job = occupant(line, head, 'waiting')
    if job then
      redis.call('HSET', job_key(head), 'slot_at', int(at))
      move(job, 'queued', now, nil, nil, true)
    else
      redis.call('ZREM', P .. 'inflight:' .. instance, head)
    end
  end
  redis.call('ZADD', P .. 'slots', int(now), instance)
  return most
end

local function stand_in_line(job, now, message)
  redis.call('HDEL', job_key(job.id), 'slot_at')
  move(job, 'waiting', now, message, turn(job))
  redis.call('ZADD', P .. 'slots', 'NX', int(now), job.instance)
end

-- A job's call is over, or never began: its place in flight is free for the next in line.
local function free_slot(job, now)
  redis.call('HDEL', job_key(job.id), 'slot_at')
  if redis.call('ZREM', P .. 'inflight:' .. job.instance, job.id) == 1
    and redis.call('EXISTS', P .. 'waiting:' .. job.instance) == 1 then
    grant(job.instance, now, 250, 4)
  end
end

-- A throttle: nobody calls this instance until the pause is over, on any worker.
local function cool_down(instance, now, pause_ms, limit)
  local key = P .. 'budget:' .. instance
  local till = math.max(tonumber(redis.call('HGET', key, 'cool_until') or 0), now + pause_ms)
  local after = math.max(tonumber(redis.call('HGET', key, 'next') or 0), till)
  redis.call('HSET', key, 'cool_until', int(till), 'next', string.format('%.3f', after))
  if limit and limit > 0 then
    redis.call('HSET', key, 'learned', int(math.max(1, math.floor(limit * 0.9))), 'learned_at', int(now))
  end
end
