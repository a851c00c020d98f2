-- #include life
-- #include slots
-- Hand a claimed job back unsent: to its place in its instance's line, or, when nobody has looked at it yet, first in the
-- queue that it came from. ARGV: tag.
-- Returns 1, or 0 when the claim is no longer ours or its job is being sent.
-- One that the sweep had given up, because this very message was nowhere, goes back too: `begin` takes it from there.
local tag = ARGV[1]
local id, message, queue, own, asks = unpack(redis.call('HMGET', claim_key(tag), 'job', 'message', 'queue', 'own', 'asks'))
if not id then return 0 end
local job = read(id)
if job.state == 'sending' and job.token == tag then return 0 end
let_go(tag)
local state = state_of(job)
if state == 'queued' and stands_for(job, own, asks) then
  local now = now_ms()
  line_up(job, now, message)
  free_slot(job, now)
elseif state == 'queued' or (state == 'dead' and job.message == '') or is_another(job, own, asks) then
  redis.call('RPUSH', queue, message)
  ring(queue)
end
return 1
