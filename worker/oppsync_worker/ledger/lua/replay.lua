-- #include life
-- Send a dead letter back: attempt 1, one more replay, same job id, the outcome of before forgotten.
-- ARGV: id, message ('' = as it was), who, the deadline of a message that was mended (ms, 0 = none), since when it was dead
-- when they looked ('' = whatever it is by now), then the names of the fields that an update sets.
-- Returns the state the job was in; only 'dead' was replayed. 'changed' when it is another letter by now. 'superseded' when
-- newer updates have written every field.
local id, now = ARGV[1], now_ms()
local job = read(id)
if not job.state then return 'unknown' end
if job.state ~= 'dead' then return job.state end
if has_changed(job, ARGV[5]) then return 'changed' end
if id:sub(1, 4) == 'raw-' or (ARGV[2] == '' and (job.message or '') == '') then return 'unreadable' end
if job.record then
  local fields = {}
  for i = 6, #ARGV do fields[#fields + 1] = ARGV[i] end
  if #fields > 0 and #overtaken(job, fields) == #fields then return 'superseded' end
  -- Mended it is another request: what it said before may be carried out yet, like any other update's.
  local unsure_key = line_of('unsure', job)
  if ARGV[2] ~= '' and redis.call('GET', unsure_key) == id then redis.call('SET', unsure_key, '', 'KEEPTTL') end
  -- Back to where it stood: before every newer update that has not been sent yet.
  redis.call('ZADD', line_of('record', job), 'NX', job.number, id)
end
if ARGV[2] ~= '' then
  -- In force from now on, and not only when a worker looks at it. The digest stays that of what was asked for first: its
  -- producer may repeat that.
  redis.call('HDEL', job_key(id), 'deadline')
  job.deadline = tonumber(ARGV[4]) > 0 and int(tonumber(ARGV[4])) or nil
  if job.deadline then redis.call('HSET', job_key(id), 'deadline', job.deadline) end
end
redis.call('ZREM', P .. 'expiring', id)
redis.call('HSET', job_key(id), 'attempts', '0', 'token', '', 'replayed_at', int(now))
redis.call('HDEL', job_key(id), 'cause', 'detail', 'crashes', 'version', 'slot_at', 'first_at', 'retries', 'refused', 'refused_in',
  'refused_alone', 'place', 'absent', 'points_to')
redis.call('HINCRBY', job_key(id), 'replays', 1)
redis.call('DEL', 'celery-task-meta-' .. id)
note(id, cjson.encode({ at = iso(now), event = 'replayed', by = ARGV[3] }))
if ARGV[2] ~= '' then
  -- What it says of its record may be mended: a worker reads it before it waits for anything but a slot.
  redis.call('HSET', job_key(id), 'mended', '1')
  -- What another application has sent is no copy of it any more.
  if redis.call('HGET', job_key(id), 'asks') then redis.call('HSET', job_key(id), 'asks', 'mended') end
  job.mended = '1'
end
inherit(job)
line_up(job, now, ARGV[2] ~= '' and ARGV[2] or nil)
if job.state == 'waiting' then grant(job.instance, now, 250, 2) end
return 'dead'
