-- #include life
-- Hold an instance: its jobs are kept, none is sent. ARGV: instance, cause, note. Returns 1 if it was not held before.
redis.call('SREM', P .. 'releasing', ARGV[1])
redis.call('HSET', P .. 'hold:' .. ARGV[1], 'cause', ARGV[2], 'since', int(now_ms()), 'note', ARGV[3])
return redis.call('SADD', P .. 'holds', ARGV[1])
