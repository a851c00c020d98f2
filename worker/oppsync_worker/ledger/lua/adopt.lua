-- #include life
-- A person says which record a create in doubt has made.
-- ARGV: job id, opportunity id, result JSON, who, ttl_s, '1' to take it although another job has it, since when it was in doubt
-- when they looked ('' = whatever it is by now)
-- Returns {the state the job was in; only 'in_doubt' was adopted}, {'changed'} when it is another doubt by now, or
-- {'taken', job id} when another job has that record.
local id, opportunity_id, now = ARGV[1], ARGV[2], now_ms()
local job = read(id)
if not job.state then return { 'unknown' } end
if job.state ~= 'in_doubt' then return { job.state } end
if has_changed(job, ARGV[7]) then return { 'changed' } end
local made = P .. 'made:' .. job.instance .. ':' .. opportunity_id
local owner = redis.call('GET', made)
if owner and owner ~= id and ARGV[6] ~= '1' then return { 'taken', owner } end
redis.call('SET', made, id, 'EX', seconds(ARGV[5]))
note(id, cjson.encode({ at = iso(now), event = 'adopted', by = ARGV[4], opportunity_id = tonumber(opportunity_id) }))
succeed(job, now, nil, opportunity_id, ARGV[3], ARGV[5])
return { 'in_doubt' }
