-- #include life
-- #include slots
-- A queued job whose message was found in no lane and no claim, twice: it can never be sent, and its producer is told.
-- Should the message turn up all the same, `begin` takes the job back. ARGV: job id, since when it must have been queued,
-- version. Returns 1 if it is a dead letter now.
local job, now = read(ARGV[1]), now_ms()
local since = redis.call('HGET', job_key(ARGV[1]), 'since') or job.at
if job.state ~= 'queued' or since ~= ARGV[2] then return 0 end
local said = 'its message is in no place: was the queue purged?'
redis.call('HSET', job_key(job.id), 'cause', 'lost', 'detail', said, 'version', ARGV[3])
move(job, 'dead', now, '')
free_slot(job, now)
write_failure(job.id, 'lost', said, now)
return 1
