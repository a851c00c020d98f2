-- #include life
-- #include slots
-- #include refusals
-- What a worker knows of an instance, told to all: its budget and its choices. A worker that knows it also frees jobs that
-- were held because some worker did not, and lifts the hold of a bad credential once the credential is another one.
-- ARGV: instance, fingerprint of the credential, then names and values for the hash of its budget.
-- Returns 1 if jobs were freed.
local instance, fingerprint_now = ARGV[1], ARGV[2]
redis.call('HSET', P .. 'budget:' .. instance, 'announced_at', int(now_ms()), unpack(ARGV, 3))
redis.call('HDEL', P .. 'budget:' .. instance, 'unknown')
another_credential(instance, fingerprint_now, now_ms())
local hold = P .. 'hold:' .. instance
local cause, fingerprint = unpack(redis.call('HMGET', hold, 'cause', 'fingerprint'))
if cause == 'credential' and fingerprint ~= fingerprint_now then
  redis.call('DEL', hold)
  redis.call('SREM', P .. 'holds', instance)
  redis.call('ZADD', P .. 'slots', int(now_ms()), instance)
  try_credential(instance, now_ms())
  cause = nil
end
if not cause and redis.call('EXISTS', P .. 'held:' .. instance) == 1 then
  return redis.call('SADD', P .. 'releasing', instance)
end
return 0
