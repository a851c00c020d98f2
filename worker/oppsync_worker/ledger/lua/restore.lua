-- #include life
-- #include slots
-- Claims whose worker fell silent. A create that was being sent is in doubt: nobody may send it again unasked. All else
-- goes back to where it waits for its turn, until it has lost its worker too often and is buried as poison.
-- ARGV: how many at most, crashes a job may cause, ttl_s, version, not after (ms; '' = whenever)
-- Returns {restored, in doubt, ids of the buried}
local now, restored, doubted, buried = now_ms(), 0, 0, {}
-- Sent into a link that stood still, this call arrives when the link moves again: too late for owners that live behind
-- the same link to have renewed anything before.
if now > (tonumber(ARGV[5] or nil) or now) then return { 0, 0, {} } end
local silent = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
-- A Redis that is full refuses to renew leases, but would let this script do anything once it has deleted something, and
-- living workers would lose their jobs again and again. This write it refuses, and with it all that follows.
if #silent > 0 then redis.call('SET', P .. 'restoring', int(now), 'PX', 60000) end
local function restore(tag)
  local id, message, queue, own, asks = unpack(redis.call('HMGET', claim_key(tag), 'job', 'message', 'queue', 'own', 'asks'))
  let_go(tag)
  if id then
    local job = read(id)
    local state = state_of(job)
    local sending = state == 'sending' and job.token == tag
    if sending and job.record then unsure(job) end
    if sending and job.kind == CREATE then
      note(id, cjson.encode({ at = iso(now), error = 'WorkerLost', message = 'the worker died while sending' }))
      redis.call('HSET', job_key(id), 'cause', 'worker_lost', 'detail', 'the worker died while sending')
      move(job, 'in_doubt', now, message)
      free_slot(job, now)
      doubted = doubted + 1
    elseif not sending and is_another(job, own, asks) then
      -- Another message under its id: not its message, not its crash, and not its slot. It may have taken its worker down,
      -- and would take the next one down: nobody counts its crashes.
      put_aside(tag, message, now, 'malformed', 'another job stands under its id', queue, ARGV[4])
    elseif sending or state == 'queued' then
      local crashes = redis.call('HINCRBY', job_key(id), 'crashes', 1)
      if crashes > tonumber(ARGV[2]) then
        local said = 'lost its worker ' .. crashes .. ' times without finishing'
        redis.call('HSET', job_key(id), 'cause', 'poison', 'detail', said, 'version', ARGV[4])
        move(job, 'dead', now, message)
        write_failure(id, 'poison', said, now)
        buried[#buried + 1] = id
      elseif crashes > 1 then
        -- Who takes a worker down takes all down that the worker had in hand. Spread apart in time, the innocent come
        -- to an end without it, and their count begins anew.
        local share = tonumber(redis.sha1hex(id):sub(1, 4), 16) / 65536
        if not job.kind then
          redis.call('HSET', job_key(id), 'at', int(now), 'lane', queue:match('[^.]+$'))
          if own == '0' then redis.call('HSET', job_key(id), 'foreign', '1', 'asks', asks or '') end
        end
        move(read(id), 'scheduled', now, message, now + share * math.min(600000, 15000 * 2 ^ (crashes - 1)))
        restored = restored + 1
      elseif sending or stands_for(job, own, asks) then
        line_up(job, now, message)
        restored = restored + 1
      else
        redis.call('RPUSH', queue, message)
        ring(queue)
        restored = restored + 1
      end
      free_slot(job, now)
    elseif state == 'dead' and job.message == '' then
      -- The sweep had given it up because this very message was nowhere: now it can be replayed.
      redis.call('HSET', job_key(id), 'message', message)
    end
  end
end
for _, tag in ipairs(silent) do
  local dead = #buried
  if not apart(restore, tag) then
    broken_at(whose_is(redis.call('HGET', claim_key(tag), 'job') or tag))
    -- Somebody has written to one of its keys: its claim keeps it meanwhile.
    for i = #buried, dead + 1, -1 do buried[i] = nil end
    redis.call('ZADD', P .. 'leases', int(now + 60000), tag)
  end
end
return with_broken({ restored, doubted, buried })
