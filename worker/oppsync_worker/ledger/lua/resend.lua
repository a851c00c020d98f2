-- #include life
-- A person says that a create in doubt has made no record: it goes again. ARGV: job id, who.
-- Returns the state the job was in; only 'in_doubt' is sent again.
local id, now = ARGV[1], now_ms()
local job = read(id)
if not job.state then return 'unknown' end
if job.state ~= 'in_doubt' then return job.state end
if not job.message or job.message == '' then return 'unreadable' end
redis.call('HDEL', job_key(id), 'cause', 'detail', 'sightings')
note(id, cjson.encode({ at = iso(now), event = 'resent', by = ARGV[2] }))
move(job, 'scheduled', now, nil, now)
return 'in_doubt'
