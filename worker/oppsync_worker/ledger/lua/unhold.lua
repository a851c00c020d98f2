-- #include life
-- #include slots
-- #include refusals
-- Lift a hold. The held jobs follow in batches (promote), each to where it really waits.
-- ARGV: instance, the cause it must have ('' = any).
-- Returns how many jobs were held, or -1 when there is no such hold.
local instance = ARGV[1]
local cause = redis.call('HGET', P .. 'hold:' .. instance, 'cause')
if not cause or (ARGV[2] ~= '' and ARGV[2] ~= cause) then return -1 end
redis.call('DEL', P .. 'hold:' .. instance)
redis.call('SREM', P .. 'holds', instance)
redis.call('SADD', P .. 'releasing', instance)
if cause == 'credential' then try_credential(instance, now_ms()) end
redis.call('ZADD', P .. 'slots', int(now_ms()), instance)
return redis.call('ZCARD', P .. 'held:' .. instance)
