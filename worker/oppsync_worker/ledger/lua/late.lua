-- #include ground
-- A request left later than it was counted.
-- ARGV: instance, the time at which it was counted (ms), how many ms later it left. Returns 1, or 0 when its window was over.
local instance, at = ARGV[1], tonumber(ARGV[2]) + tonumber(ARGV[3])
if counts_from(instance, ARGV[2], at) then return 1 end
-- It comes within a window that has been given to others: it counts for those to come, if it is not long past.
local requests, window_ms = unpack(redis.call('HMGET', P .. 'budget:' .. instance, 'requests', 'window_ms'))
window_ms = tonumber(window_ms or 60000)
if requests == '0' or at + 2 * window_ms < now_ms() then return 0 end
redis.call('RPUSH', P .. 'sent:' .. instance, int(math.min(at, now_ms())))
redis.call('PEXPIRE', P .. 'sent:' .. instance, int(window_ms * 2 + 120000))
return 0
