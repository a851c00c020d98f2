-- #include life
-- A worker's sign of life. ARGV: name (host:pid), 1 alive or 0 gone. oppsync:workers: name -> when it was last heard of.
local now = now_ms()
if ARGV[2] == '1' then
  redis.call('ZADD', P .. 'workers', int(now), ARGV[1])
else
  redis.call('ZREM', P .. 'workers', ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', int(now - 86400000))
return 1
