-- #include life
-- A worker's sign of life. ARGV: name (host:pid), 1 alive or 0 gone, how many calls it has hands for, ms of silence after
-- which a worker is not counted on. oppsync:workers: name -> when it was last heard of; oppsync:hands: name -> its hands;
-- oppsync:capacity: the hands of all that live.
local now = now_ms()
if ARGV[2] == '1' then
  redis.call('ZADD', P .. 'workers', int(now), ARGV[1])
else
  redis.call('ZREM', P .. 'workers', ARGV[1])
  redis.call('HDEL', P .. 'hands', ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', int(now - 86400000))
if not ARGV[3] then return 1 end
if ARGV[2] == '1' then redis.call('HSET', P .. 'hands', ARGV[1], ARGV[3]) end
local alive, capacity = {}, 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', int(now - tonumber(ARGV[4])), '+inf')) do alive[name] = true end
local hands = redis.call('HGETALL', P .. 'hands')
for i = 1, #hands, 2 do
  if alive[hands[i]] then capacity = capacity + tonumber(hands[i + 1]) else redis.call('HDEL', P .. 'hands', hands[i]) end
end
-- With nobody there, whoever comes first is thought to have the usual ones.
if capacity > 0 then redis.call('SET', P .. 'capacity', capacity) else redis.call('DEL', P .. 'capacity') end
return 1
