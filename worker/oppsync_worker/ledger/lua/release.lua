-- #include life
-- #include slots
-- Hand a claimed job back unsent, first in line. ARGV: tag. Returns 1, or 0 when the claim is no longer ours.
local tag = ARGV[1]
local id, message = unpack(redis.call('HMGET', claim_key(tag), 'job', 'message'))
if not id then return 0 end
local job = read(id)
let_go(tag)
if state_of(job) == 'queued' then
  redis.call('RPUSH', redis.call('EXISTS', job_key(id)) == 1 and queue_of(job.lane) or 'opportunities.interactive', message)
  ring(queue_of(job.lane))
  free_slot(job, now_ms())
end
return 1
