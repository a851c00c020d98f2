-- #include life
-- #include slots
-- What time alone decides: due jobs return to their lane, and free slots go to the heads of the lines.
-- ARGV: how many of each at most, horizon_ms. Returns {due, granted, released, ms until there is something to do}
local most, horizon, now = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms()

local due = redis.call('ZRANGEBYSCORE', P .. 'schedule', '-inf', int(now), 'LIMIT', 0, most)
-- Right to left, so that the oldest is the next out.
for i = #due, 1, -1 do
  local job = occupant(P .. 'schedule', due[i], 'scheduled')
  if job then move(job, 'queued', now, nil, nil, true) end
end

local granted = 0
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', P .. 'slots', '-inf', int(now), 'LIMIT', 0, most)) do
  if granted >= most then break end
  granted = granted + grant(instance, now, horizon, most - granted)
end

local released = 0
for _, instance in ipairs(redis.call('SRANDMEMBER', P .. 'releasing', 10)) do
  local held = {}
  if redis.call('EXISTS', P .. 'hold:' .. instance) == 0 then
    held = redis.call('ZRANGE', P .. 'held:' .. instance, 0, most - 1)
  end
  for _, id in ipairs(held) do
    local job = occupant(P .. 'held:' .. instance, id, 'held')
    if job then move(job, 'queued', now) end
  end
  released = released + #held
  if #held < most then
    redis.call('SREM', P .. 'releasing', instance)
    if redis.call('EXISTS', P .. 'held:' .. instance) == 0 then redis.call('SREM', P .. 'holding', instance) end
  end
end

for _, line in ipairs(redis.call('SRANDMEMBER', P .. 'unblocking', 5)) do
  local gone_on = unblock(line, most)
  released = released + gone_on
  if gone_on < most then redis.call('SREM', P .. 'unblocking', line) end
end

local wake = 1000
for _, place in ipairs({ 'schedule', 'slots' }) do
  local first = redis.call('ZRANGE', P .. place, 0, 0, 'WITHSCORES')
  if first[2] then wake = math.min(wake, math.max(0, tonumber(first[2]) - now)) end
end
if #due == most or released > 0 or granted >= most then wake = 0 end
return { #due, granted, released, math.ceil(wake) }
