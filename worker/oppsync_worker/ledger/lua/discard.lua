-- #include life
-- #include slots
-- A person drops a job for good. ARGV: id, the state it must be in, who, ttl_s, then what they saw ('' = whatever it is by
-- now): since when it was in that state, and '1' if it was a doubt that waited for a person.
-- Returns the state it was in; 'changed' when it has been elsewhere meanwhile.
local id, now = ARGV[1], now_ms()
local job = read(id)
if not job.state then return 'unknown' end
if job.state ~= ARGV[2] then return job.state end
if has_changed(job, ARGV[5], ARGV[6]) then return 'changed' end
-- A key stands for what was asked for under it. Dropped unsent, or refused, nothing was made, and nothing ever will be: the
-- key is free. Dropped in doubt, the record may exist: whoever uses the key again is told (enqueue).
local idem = job.key and P .. 'idem:' .. job.instance .. ':' .. job.key
if idem and job.state ~= 'in_doubt' and redis.call('GET', idem) == id then redis.call('DEL', idem) end
local said = 'discarded by ' .. ARGV[3]
redis.call('HSET', job_key(id), 'detail', said)
note(id, cjson.encode({ at = iso(now), event = 'discarded', by = ARGV[3] }))
move(job, 'discarded', now)
free_slot(job, now)
retire(job, ARGV[4])
write_failure(id, 'discarded', said, now, ARGV[4])
return ARGV[2]
