-- #include ground
-- A request left later than it was counted: the CRM counts it then, and the window that it is in is over so much later.
-- ARGV: instance, the time at which it was counted (ms), how many ms later it left. Returns 1, or 0 when it is forgotten.
local sent, counted = P .. 'sent:' .. ARGV[1], ARGV[2]
local place = redis.call('LPOS', sent, counted)
if not place then return 0 end
redis.call('LSET', sent, place, int(tonumber(counted) + tonumber(ARGV[3])))
return 1
