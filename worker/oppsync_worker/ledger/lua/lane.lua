-- Ids of the jobs whose messages lie in a stretch of a lane. ARGV: the list's key, first and last index.
-- Returns the ids of those that can be read; an empty answer is the end of the list.
local ids = {}
local found = redis.call('LRANGE', ARGV[1], ARGV[2], ARGV[3])
for _, raw in ipairs(found) do
  local ok, m = pcall(cjson.decode, #raw < 1000000 and raw or '')
  local id = ok and type(m) == 'table' and type(m.headers) == 'table' and m.headers.id
  ids[#ids + 1] = type(id) == 'string' and id or ''
end
return ids
