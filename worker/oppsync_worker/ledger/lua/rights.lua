-- Which rights this user lacks, found out without changing anything that is anybody's. A command is tried on a key that is
-- not there, with words that it refuses after the rights were looked at, or that are taken back at once.
-- ARGV: how many commands, the commands, then key patterns and an example of each in turns; channels begin with '&'.
-- Returns what is lacking: 'command hget', 'keys oppsync:refs:*'.
local key = 'oppsync:job:raw-rights-check'
local lacking = {}
-- Commands of scripts, with words that do no harm. Those with an inverse are tried when that is permitted: it cleans up.
local HARMLESS = {
  DEL = {}, EXISTS = {}, GET = {}, HGETALL = {}, LLEN = {}, LPOP = {}, PERSIST = {}, PTTL = {}, RPOP = {}, SMEMBERS = {},
  TTL = {}, ZCARD = {}, SCARD = {}, HLEN = {}, MGET = {}, SRANDMEMBER = {},
  HDEL = { 'f' }, HGET = { 'f' }, HEXISTS = { 'f' }, HMGET = { 'f' }, SREM = { 'm' }, ZREM = { 'm' }, ZSCORE = { 'm' },
  ZMSCORE = { 'm' }, ZRANK = { 'm' }, SISMEMBER = { 'm' }, LINDEX = { '0' }, LPOS = { 'v' }, EXPIRE = { 'never' },
  PEXPIRE = { 'never' }, LRANGE = { '0', '0' }, LSET = { '0', 'v' }, LTRIM = { 'from', 'to' }, SET = { 'v', 'badly' },
  HINCRBY = { 'f', 'much' }, HSET = { 'f', 'v', 'f' }, ZADD = { 'much', 'm' }, ZCOUNT = { '0', '0' }, ZRANGE = { '0', '0' },
  ZREVRANGE = { '0', '0' }, ZRANGEBYSCORE = { '0', '0' }, ZREMRANGEBYSCORE = { 'from', 'to' }, ZSCAN = { '0' },
}
local TAKEN_BACK = {
  HSETNX = { { 'f', 'v' }, 'HDEL', 'f' }, INCR = { {}, 'DEL' }, LPUSH = { { 'v' }, 'LPOP' }, RPUSH = { { 'v' }, 'RPOP' },
  SADD = { { 'm' }, 'SREM', 'm' },
}

local function refused(command, ...)
  local answer = redis.pcall(command, ...)
  local said = type(answer) == 'table' and answer.err or ''
  for _, mark in ipairs({ 'The user executing the script', 'ACL failure', 'NOPERM', 'no permissions' }) do
    if said:find(mark, 1, true) then return said end
  end
end

local many = tonumber(ARGV[1])
for i = 2, many + 1 do
  local command = ARGV[i]:upper()
  local words, back = HARMLESS[command], TAKEN_BACK[command]
  local lacks
  if words then
    lacks = refused(command, key, unpack(words))
  elseif command == 'TIME' then
    lacks = refused(command)
  elseif back and not refused(back[2], key, unpack(back, 3)) then
    lacks = refused(command, key, unpack(back[1]))
    if not lacks then redis.pcall(back[2], key, unpack(back, 3)) end
  end
  if lacks then lacking[#lacking + 1] = 'command ' .. ARGV[i] end
end
for i = many + 2, #ARGV, 2 do
  local pattern, example = ARGV[i], ARGV[i + 1]
  if pattern:sub(1, 1) == '&' then
    local said = refused('PUBLISH', example, '')
    if said then lacking[#lacking + 1] = said:find('channel') and 'channels ' .. pattern:sub(2) or 'command publish' end
  elseif refused('EXISTS', example) then
    lacking[#lacking + 1] = 'keys ' .. pattern
  end
end
return lacking
