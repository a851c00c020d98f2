-- #include ground
-- A request left later than it was counted.
-- ARGV: instance, the time at which it was counted (ms), how many ms later it left. Returns 1, or 0 when its window was over.
local instance, at = ARGV[1], tonumber(ARGV[2]) + tonumber(ARGV[3])
if counts_from(instance, ARGV[2], at) then return 1 end
-- It comes within a window that has been given to others: it counts for those to come.
local window_ms = tonumber(redis.call('HGET', P .. 'budget:' .. instance, 'window_ms') or 60000)
redis.call('RPUSH', P .. 'sent:' .. instance, int(math.min(at, now_ms())))
redis.call('PEXPIRE', P .. 'sent:' .. instance, int(window_ms * 2 + 120000))
return 0
