-- #include life
-- #include slots
-- A person ends a pause of an instance, or has it forget what throttles taught.
-- ARGV: instance, 'resume' or 'forget', '1' = only tell what would be done.
-- Returns {'known', names and values of what was, or would be, taken away}; {'unknown'} when no worker ever told of it.
local instance, verb, dry = ARGV[1], ARGV[2], ARGV[3] == '1'
local key, now = P .. 'budget:' .. instance, now_ms()
if redis.call('EXISTS', key) == 0 then return { 'unknown' } end
local names = { 'learned', 'learned_at', 'taught' }
if verb == 'resume' then
  names = { 'cool_until', 'open_until', 'trips', 'failures', 'failed_sends', 'trial', 'trial_until' }
end
local taken = { 'known' }
for _, name in ipairs(names) do
  local value = redis.call('HGET', key, name)
  if value then
    taken[#taken + 1] = name
    taken[#taken + 1] = value
    if not dry then redis.call('HDEL', key, name) end
  end
end
if verb == 'resume' and not dry then
  -- The next slot was put behind the pause. How many requests were begun lately is counted elsewhere, and stays.
  if tonumber(redis.call('HGET', key, 'next') or 0) > now then redis.call('HSET', key, 'next', int(now)) end
  -- Nor does anybody who comes sit out a look that lies behind it.
  if wants_slots(instance) then
    redis.call('ZADD', P .. 'slots', int(now), instance)
  else
    redis.call('ZREM', P .. 'slots', instance)
  end
end
return taken
