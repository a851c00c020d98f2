-- Deadlines are the only times that somebody else wrote, and the only ones that cannot be taken back: what has expired has
-- ended. So they are not judged by a clock that nobody can vouch for. Workers measure with steady clocks how long it is
-- between two looks; what Redis' clock has gone beyond that, it has jumped.
--
-- oppsync:clock   seen     the last time that somebody vouched for
--                 ahead    ms by which the clock has jumped forward, at `at`: for an hour, time for a person to look or for
--                          the clock to be set right, deadlines are judged by the time without the jump
--                 pending  since when nobody could vouch for it: all workers were away. Whoever was there before gets some
--                          seconds to tell of a jump; then the clock is believed

local JUMP_MS, BELIEVED_AFTER_MS, GRACE_MS = 60000, 5000, 3600000

local function clock_known(now)
  local seen, ahead, at, pending = unpack(redis.call('HMGET', P .. 'clock', 'seen', 'ahead', 'at', 'pending'))
  seen, ahead, at, pending = tonumber(seen or now), tonumber(ahead or 0), tonumber(at or 0), tonumber(pending or nil)
  if ahead > 0 and now - at > GRACE_MS then ahead = 0 end
  return seen, ahead, at, pending
end

-- By which time deadlines are judged; nil while nobody has vouched for the clock.
local function deadline_time(now)
  local seen, ahead = clock_known(now)
  if now - seen > JUMP_MS then return nil end
  return now - ahead
end

-- A worker tells that `elapsed` ms at most have passed since Redis' clock showed `before` (nil = it has not looked yet).
-- Returns what `deadline_time` does, and by how much the clock is ahead.
local function vouch(now, before, elapsed)
  local clock = P .. 'clock'
  local seen, ahead, at, pending = clock_known(now)
  local jump = before and now - before - elapsed or 0
  if jump < -JUMP_MS then
    -- Set back: it is right again.
    ahead, seen, pending = 0, now, nil
    redis.call('DEL', clock)
  elseif jump > JUMP_MS then
    -- Another worker may have told of the same jump.
    if at <= before then ahead, at = ahead + jump, now end
    redis.call('HSET', clock, 'ahead', int(ahead), 'at', int(at), 'seen', int(now))
    redis.call('HDEL', clock, 'pending')
    return now - ahead, ahead
  end
  if now - seen > JUMP_MS then
    if not pending then redis.call('HSET', clock, 'pending', int(now)) end
    if not (before and pending and now - pending >= BELIEVED_AFTER_MS) then return nil, ahead end
    redis.call('HDEL', clock, 'pending')
  end
  -- One write in some seconds, not one for each look.
  if now - seen > JUMP_MS / 10 or redis.call('HEXISTS', clock, 'seen') == 0 then
    redis.call('HSET', clock, 'seen', int(now))
  end
  return now - ahead, ahead
end
