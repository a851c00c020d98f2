-- #include life
-- A person says that a create in doubt has made no record: it goes again. ARGV: job id, who, then, of the doubt that they
-- have seen ('' = whatever it is by now): how many attempts and replays it had, and '1' if it waited for a person.
-- Returns the state the job was in; only 'in_doubt' is sent again. 'changed' when that is another doubt by now: somebody else
-- has had it sent again, and nobody has looked for what came of that.
local id, now = ARGV[1], now_ms()
local job = read(id)
if not job.state then return 'unknown' end
if job.state ~= 'in_doubt' then return job.state end
local attempts, replays, doubt = unpack(redis.call('HMGET', job_key(id), 'attempts', 'replays', 'doubt'))
if (ARGV[3] or '') ~= '' and (tonumber(attempts or 0) ~= tonumber(ARGV[3]) or tonumber(replays or 0) ~= tonumber(ARGV[4])
  or (ARGV[5] == '1' and doubt ~= 'person')) then
  return 'changed'
end
if not job.message or job.message == '' then return 'unreadable' end
redis.call('HDEL', job_key(id), 'cause', 'detail', 'sightings')
note(id, cjson.encode({ at = iso(now), event = 'resent', by = ARGV[2] }))
move(job, 'scheduled', now, nil, now)
return 'in_doubt'
