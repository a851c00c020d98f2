-- #include life
-- How a job stands under one of its claims; nothing is changed. ARGV: tag, id.
-- Returns {state, kind, 1 if the claim is still the job's owner, how often it was retried by its task}
local tag, id = ARGV[1], ARGV[2]
local job = read(id)
local state = state_of(job)
local ours = owns(tag) and (state == 'queued' or (state == 'sending' and job.token == tag))
return { state, job.kind or '', ours and 1 or 0, tonumber(redis.call('HGET', job_key(id), 'retries') or 0) }
