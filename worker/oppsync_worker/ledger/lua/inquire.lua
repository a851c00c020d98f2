-- #include life
-- Look into a doubt anew, at once. ARGV: job id, who. Returns the state the job is in; only 'in_doubt' is looked into.
local id, now = ARGV[1], now_ms()
local job = read(id)
if not job.state then return 'unknown' end
if job.state ~= 'in_doubt' then return job.state end
close_inquiry(job)
note(id, cjson.encode({ at = iso(now), event = 'inquiry', by = ARGV[2] }))
redis.call('ZADD', P .. 'probes', int(now), id)
return 'in_doubt'
