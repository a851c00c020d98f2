-- #include life
-- What a worker knows of an instance, told to all: its budget. A worker that knows it also frees jobs that were held
-- because some worker did not, and lifts the hold of a bad credential once the credential is another one.
-- ARGV: instance, requests, window_ms, concurrency, call_ms, fingerprint of the credential. Returns 1 if jobs were freed.
local instance = ARGV[1]
redis.call('HSET', P .. 'budget:' .. instance, 'requests', ARGV[2], 'window_ms', ARGV[3], 'concurrency', ARGV[4],
  'call_ms', ARGV[5])
local hold = P .. 'hold:' .. instance
local cause, fingerprint = unpack(redis.call('HMGET', hold, 'cause', 'fingerprint'))
if cause == 'credential' and fingerprint ~= ARGV[6] then
  redis.call('DEL', hold)
  redis.call('SREM', P .. 'holds', instance)
  redis.call('ZADD', P .. 'slots', int(now_ms()), instance)
  cause = nil
end
if not cause and redis.call('EXISTS', P .. 'held:' .. instance) == 1 then
  return redis.call('SADD', P .. 'releasing', instance)
end
return 0
