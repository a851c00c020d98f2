-- #include life
-- #include slots
-- What time alone decides: due jobs return to their lane, and free slots go to the heads of the lines.
-- ARGV: how many of each at most, horizon_ms. Returns {due, granted, released, ms until there is something to do}
local most, horizon, now = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms()

local due = redis.call('ZRANGEBYSCORE', P .. 'schedule', '-inf', int(now), 'LIMIT', 0, most)
-- Right to left, so that the oldest is the next out.
for i = #due, 1, -1 do move(read(due[i]), 'queued', now, nil, nil, true) end

local granted = 0
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', P .. 'slots', '-inf', int(now), 'LIMIT', 0, most)) do
  granted = granted + grant(instance, now, horizon, most)
end

local released = 0
for _, instance in ipairs(redis.call('SRANDMEMBER', P .. 'releasing', 10)) do
  local held = {}
  if redis.call('EXISTS', P .. 'hold:' .. instance) == 0 then
    held = redis.call('ZRANGE', P .. 'held:' .. instance, 0, most - 1)
  end
  for _, id in ipairs(held) do move(read(id), 'queued', now) end
  released = released + #held
  if #held < most then
    redis.call('SREM', P .. 'releasing', instance)
    if redis.call('EXISTS', P .. 'held:' .. instance) == 0 then redis.call('SREM', P .. 'holding', instance) end
  end
end

local wake = 1000
for _, place in ipairs({ 'schedule', 'slots' }) do
  local first = redis.call('ZRANGE', P .. place, 0, 0, 'WITHSCORES')
  if first[2] then wake = math.min(wake, math.max(0, tonumber(first[2]) - now)) end
end
if #due == most or released > 0 then wake = 0 end
return { #due, granted, released, math.ceil(wake) }
