-- #include ground
-- Whose turn it is to sweep: at most one worker in `interval` ms, whichever asks first; nobody is missed who dies over it.
-- ARGV: worker, interval_ms. Returns 1 if it is the asker's turn.
local key, now = P .. 'sweep', now_ms()
if tonumber(redis.call('HGET', key, 'due') or 0) > now then return 0 end
redis.call('HSET', key, 'due', int(now + tonumber(ARGV[2])), 'by', ARGV[1], 'began', int(now))
return 1
