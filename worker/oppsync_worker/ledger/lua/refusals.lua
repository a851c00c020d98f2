-- Requests that SprintHub refused with 401 or 403: is it the credential, or the one job?
--
-- In oppsync:budget:<instance>, since the last job that succeeded:
--   refusals     rounds of refusals; calls that were in flight together are refused together, and count as one round
--   refused      the different jobs that were refused, as many as are needed to tell
--   refused_at   when the last round was counted
-- and for good: proofs, how often a job succeeded after others had been refused; refused_era, how often the credential was
-- found bad, or was another one; refused_by, the credential (its fingerprint) that was refused last.
--
-- oppsync:refused:<instance>   jobs that were refused and are tried again later, by when: at once, when the credential is
--                              another one
--
-- In the entry of a job that was refused: refused, how often in all; refused_in, the era and the proofs at its first
-- refusal in that era; refused_alone, how often it was refused with nobody beside it although others had succeeded in
-- between; place, its place in line from now on, behind all that waited when it was refused.

local MOST_REMEMBERED = 1000

local function told_apart(names)
  local count = 0
  for _ in names:gmatch('%S+') do count = count + 1 end
  return count
end

local function hold_for_credential(instance, now, note, fingerprint)
  redis.call('HDEL', P .. 'budget:' .. instance, 'refusals', 'refused', 'refused_at')
  redis.call('HINCRBY', P .. 'budget:' .. instance, 'refused_era', 1)
  redis.call('SREM', P .. 'releasing', instance)
  redis.call('HSET', P .. 'hold:' .. instance, 'cause', 'credential', 'since', int(now), 'note', note, 'fingerprint', fingerprint)
  redis.call('SADD', P .. 'holds', instance)
end

-- The job was refused. `a` as in settle; returns where it goes, and changes cause, detail, delay and version in `a`.
local function refused(job, a, now)
  local budget, key = P .. 'budget:' .. job.instance, job_key(job.id)
  local rounds, names, last, proofs, era = unpack(redis.call('HMGET', budget, 'refusals', 'refused', 'refused_at', 'proofs',
    'refused_era'))
  -- Without a count the names are from before the last success: a worker of the version before takes the count alone away.
  names = rounds and names or ''
  rounds, last, proofs, era = tonumber(rounds or 0), tonumber(last or 0), tonumber(proofs or 0), era or '0'
  if tonumber(redis.call('HGET', key, 'sent_at') or now) > last then rounds, last = rounds + 1, now end
  local enough = tonumber(a.refusals)
  if not (' ' .. names .. ' '):find(' ' .. job.id .. ' ', 1, true) and told_apart(names) < enough then
    names = names == '' and job.id or names .. ' ' .. job.id
  end
  redis.call('HSET', budget, 'refusals', rounds, 'refused', names, 'refused_at', int(last))

  local times = redis.call('HINCRBY', key, 'refused', 1)
  job.place = int(now + 1)
  redis.call('HSET', key, 'place', job.place)
  local first_era, first_proofs = (redis.call('HGET', key, 'refused_in') or ''):match('^(%d+):(%d+)$')
  if first_era ~= era then
    first_proofs = proofs
    redis.call('HSET', key, 'refused_in', era .. ':' .. int(proofs))
    redis.call('HDEL', key, 'refused_alone')
  end

  if told_apart(names) > 1 then
    -- Different jobs, and none succeeds: the credential is in question, so others need not be refused as well.
    cool_down(job.instance, now, tonumber(a.cool_ms))
    if rounds >= enough and redis.call('EXISTS', P .. 'hold:' .. job.instance) == 0 then
      hold_for_credential(job.instance, now, a.hold_note or '', a.fingerprint or '')
      return 'held'
    end
  elseif proofs > tonumber(first_proofs) and redis.call('HINCRBY', key, 'refused_alone', 1) >= tonumber(a.most_alone) then
    a.cause, a.version = 'refused', a.dead_version
    a.detail = (a.detail or '') .. ': refused ' .. times .. ' times, while other jobs of ' .. job.instance
      .. ' succeeded. Its credential has no right to what this job names (funnel, column, record or user): grant the right'
      .. ' in SprintHub or mend the job, then replay it'
    redis.call('ZREM', P .. 'refused:' .. job.instance, job.id)
    return 'dead'
  end
  redis.call('HSET', budget, 'refused_by', a.fingerprint or '')
  if redis.call('ZCARD', P .. 'refused:' .. job.instance) < MOST_REMEMBERED then
    redis.call('ZADD', P .. 'refused:' .. job.instance, int(now), job.id)
  end
  a.delay = math.min(tonumber(a.most_delay_ms), tonumber(a.own_pause_ms) * 2 ^ math.min(times - 1, 30))
  return 'scheduled'
end

-- The job succeeded: the credential of its instance is good. `mood` is what `mood_of` has read before.
local function accepted(job, mood)
  local budget = P .. 'budget:' .. job.instance
  if job.place then redis.call('ZREM', P .. 'refused:' .. job.instance, job.id) end
  if mood[8] then
    redis.call('HDEL', budget, 'refusals', 'refused', 'refused_at')
    redis.call('HINCRBY', budget, 'proofs', 1)
  end
end

-- A worker has told of a credential: if another one was refused, whoever was refused with it is tried now.
local function another_credential(instance, fingerprint, now)
  local budget, remembered = P .. 'budget:' .. instance, P .. 'refused:' .. instance
  local refused_by = redis.call('HGET', budget, 'refused_by')
  if not refused_by or refused_by == fingerprint then return end
  redis.call('HDEL', budget, 'refused_by', 'refusals', 'refused', 'refused_at')
  redis.call('HINCRBY', budget, 'refused_era', 1)
  for _, id in ipairs(redis.call('ZRANGE', remembered, 0, -1)) do
    local state, cause = unpack(redis.call('HMGET', job_key(id), 'state', 'cause'))
    if state == 'scheduled' and cause == 'credential' then redis.call('ZADD', P .. 'schedule', 'XX', int(now), id) end
  end
  redis.call('DEL', remembered)
end

-- The hold of a bad credential is lifted: one request tries it before all others follow.
local function try_credential(instance, now)
  local budget = P .. 'budget:' .. instance
  if not redis.call('HGET', budget, 'trips') then redis.call('HSET', budget, 'trips', 1, 'open_until', int(now)) end
end
