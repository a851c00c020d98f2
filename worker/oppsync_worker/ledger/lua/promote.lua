-- #include life
-- #include slots
-- #include clock
-- What time alone decides: due and released jobs go to where they really wait, deadlines pass, doubts are looked into, and
-- free slots go to the heads of the lines.
-- ARGV: how many of each at most, horizon_ms, ttl_s, look-ups that this worker takes on, ms it may take for one; what Redis'
-- clock showed when this worker looked last, and how many ms ago it asked for that ('' = it has not looked yet)
-- Returns {due, granted, released, ms until there is something to do, look-ups, what the clock shows, by how many ms it has
-- jumped ahead, and, if there are any, whose keys are of another type}, each look-up being
--   {job id, token, ms until its slot, message, ms since it was sent, ms since it was first sent, attempts, replays,
--    inquiry, instance, what is known of the marker: funnel and word in turns, [the field that it was sent in, '' = none]}
local most, horizon, ttl_s, takes, look_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()

local due = redis.call('ZRANGEBYSCORE', P .. 'schedule', '-inf', int(now), 'LIMIT', 0, most)
-- A part that cannot be done, since somebody has written to one of its keys, is tried again in a minute.
local function each(members, place, part)
  for _, member in ipairs(members) do
    if not apart(part, member) then
      broken_at(place == 'slots' and member or whose_is(member))
      redis.call('ZADD', P .. place, int(now + 60000), member)
    end
  end
end

each(due, 'schedule', function(id)
  local job = read(id)
  -- One that waited for its `not_before` takes its place among the updates of its record now.
  if job.state == 'scheduled' and job.kind == UPDATE and not job.record then join(job) end
end)
each(due, 'schedule', function(id)
  local job = occupant(P .. 'schedule', id, 'scheduled')
  if job then line_up(job, now) end
end)

local by, ahead = vouch(now, tonumber(ARGV[6] or nil), tonumber(ARGV[7] or 0))
each(by and redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', int(by), 'LIMIT', 0, most) or {}, 'expiring', function(id)
  redis.call('ZREM', P .. 'expiring', id)
  local job = read(id)
  if IDLE[job.state] then expire(job, now, nil, ttl_s) end
end)

each(redis.call('ZRANGEBYSCORE', P .. 'probes', '-inf', int(now), 'LIMIT', 0, most), 'probes', function(id)
  local job = occupant(P .. 'probes', id, 'in_doubt')
  if job then
    if not redis.call('ZSCORE', P .. 'granted', id) then
      redis.call('ZADD', P .. 'looking:' .. job.instance, 'NX', int(now), id)
      redis.call('ZADD', P .. 'slots', 'NX', int(now), job.instance)
    end
    -- Should whoever takes it on be lost, it is found again.
    redis.call('ZADD', P .. 'probes', int(now + look_ms), id)
  end
end)

-- Held jobs whose hold is lifted go to where they really wait: in small helpings, so that nobody waits for Redis meanwhile.
-- Each of those that are drawn gets its part of them.
local drawn = redis.call('SRANDMEMBER', P .. 'releasing', 10)
local released, helping = 0, math.min(most, 50)
local share = math.ceil(helping / #drawn)
local function release(instance)
  local held, left = {}, math.min(share, helping - released)
  if left <= 0 then return end
  if redis.call('EXISTS', P .. 'hold:' .. instance) == 0 and redis.call('HEXISTS', P .. 'budget:' .. instance, 'unknown') == 0 then
    held = redis.call('ZRANGE', P .. 'held:' .. instance, 0, left - 1)
  end
  for _, id in ipairs(held) do
    local job = occupant(P .. 'held:' .. instance, id, 'held')
    if job then line_up(job, now) end
  end
  released = released + #held
  if #held < left then
    redis.call('SREM', P .. 'releasing', instance)
    if redis.call('EXISTS', P .. 'held:' .. instance) == 0 then redis.call('SREM', P .. 'holding', instance) end
  end
end
for _, instance in ipairs(drawn) do
  if not apart(release, instance) then broken_at(instance) end
end

-- To each line its share of the round, so that none takes it all; what is left comes in the next one.
local granted = 0
local lines = redis.call('ZRANGEBYSCORE', P .. 'slots', '-inf', int(now), 'LIMIT', 0, most)
each(lines, 'slots', function(instance) granted = granted + grant(instance, now, horizon, math.ceil(most / #lines)) end)

-- The token under which a look-up got its slot, and its place. A version before gave none, and called the place otherwise.
local function taken_on(job)
  local token = redis.call('HGET', job_key(job.id), 'look_token')
  if token then
    redis.call('HDEL', job_key(job.id), 'look_token')
    return token, looker(job.id, token)
  end
  token = int(redis.call('INCR', P .. 'claim-seq'))
  local before, place = 'look:' .. job.id, looker(job.id, token)
  local till, budget = redis.call('ZSCORE', P .. 'inflight:' .. job.instance, before), P .. 'budget:' .. job.instance
  if till then
    leave_place(job.instance, before)
    take_place(job.instance, place, tonumber(till))
  end
  if redis.call('HGET', budget, 'trial') == before then redis.call('HSET', budget, 'trial', place) end
  return token, place
end

local looks = {}
local function hand_out(id)
  local job = read(id)
  local token, place = taken_on(job)
  local at = tonumber(redis.call('HGET', job_key(id), 'look_at') or 0)
  local unheard = tonumber(redis.call('HGET', job_key(id), 'unheard') or 0)
  if job.state == 'in_doubt' and unheard >= 10 then
    -- It may be what takes its workers down: they are not offered up to it one after the other.
    redis.call('HSET', job_key(id), 'doubt', 'person', 'cause', 'undecided', 'detail',
      unheard .. ' look-ups in a row were begun and never heard of again')
    redis.call('HDEL', job_key(id), 'probe_token')
    redis.call('ZREM', P .. 'probes', id)
    free(job.instance, place, now)
  elseif job.state == 'in_doubt' and redis.call('ZSCORE', P .. 'probes', id) then
    redis.call('HSET', job_key(id), 'probe_token', token)
    redis.call('ZADD', P .. 'probes', int(now + look_ms), id)
    local names = { 'sent_at', 'first_at', 'attempts', 'replays', 'inquiry', 'marker_field' }
    local sent_at, first_at, attempts, replays, inquiry, marker_field = unpack(redis.call('HMGET', job_key(id), unpack(names)))
    looks[#looks + 1] = { id, token, math.ceil(math.max(0, at - now)), job.message or '', int(now - tonumber(sent_at or now)),
      int(now - tonumber(first_at or sent_at or now)), attempts or '0', replays or '0',
      inquiry or '', job.instance,
      redis.call('HGETALL', P .. 'marker:' .. job.instance), marker_field or nil }
  else
    free(job.instance, place, now)
  end
end
for _, id in ipairs(takes > 0 and redis.call('ZRANGE', P .. 'granted', 0, takes - 1) or {}) do
  redis.call('ZREM', P .. 'granted', id)
  if not apart(hand_out, id) then broken_at(whose_is(id)) end
end

local wake = 1000
for place, clock in pairs({ schedule = now, slots = now, probes = now, expiring = by }) do
  local first = redis.call('ZRANGE', P .. place, 0, 0, 'WITHSCORES')
  if first[2] then wake = math.min(wake, math.max(0, tonumber(first[2]) - clock)) end
end
if #due == most or released > 0 then wake = 0 end
return with_broken({ #due, granted, released, math.ceil(wake), looks, int(now), int(ahead) })
