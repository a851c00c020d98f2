-- #include life
-- Claim up to n messages: each gets a fresh tag, which is its fencing token, and a lease.
-- What is not a message of Celery's protocol is buried on the spot with its raw bytes, and never reaches Python.
-- ARGV: n, lease_ms, worker, question, largest message in bytes, version, queues in order of priority. The same question
-- asked again gives the same claims: its answer was lost on the way, and nobody has heard of them.
-- Returns {{{tag, queue, message}, ...}, {{job id, cause, detail}, ...} of the buried}
local most, lease_ms, worker, question = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local max_bytes, version = tonumber(ARGV[5]), ARGV[6]
local now, asked = now_ms(), P .. 'asked:' .. worker
local before, given = unpack(redis.call('HMGET', asked, 'question', 'claims'))
if before == question then
  local again = {}
  for tag in given:gmatch('%S+') do
    local queue, raw = unpack(redis.call('HMGET', claim_key(tag), 'queue', 'message'))
    if raw then again[#again + 1] = { tag, queue, raw } end
  end
  return { again, {} }
end

local function fault_of(raw)
  if #raw > max_bytes then return 'oversized', 'a message of ' .. #raw .. ' bytes; the limit is ' .. max_bytes end
  local ok, m = pcall(cjson.decode, raw)
  if not ok or type(m) ~= 'table' then return 'undecodable', 'the message is not a JSON object' end
  if type(m.headers) ~= 'table' or type(m.headers.task) ~= 'string' then
    return 'malformed', 'the message has no header "task"'
  end
  local id = m.headers.id
  if type(id) ~= 'string' or #id == 0 or #id > 128 or id:find('[^%w_.:%-]') or id:sub(1, 4) == 'raw-' then
    return 'malformed', 'the message has no usable header "id"'
  end
  if type(m.properties) ~= 'table' or type(m.body) ~= 'string' then
    return 'malformed', 'the message has no properties or no body'
  end
  return nil, id, m
end

-- RFC 4648, section 4: four characters are three bytes.
local DIGITS = {}
for i = 0, 63 do
  DIGITS[('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'):byte(i + 1)] = i
end
local function unbase64(text)
  local bytes = {}
  for at = 1, #text, 4 do
    local bits, known = 0, 0
    for offset = 0, 3 do
      local digit = DIGITS[text:byte(at + offset) or 0]
      bits = bits * 64 + (digit or 0)
      if digit then known = known + 1 end
    end
    local three = string.char(math.floor(bits / 65536), math.floor(bits / 256) % 256, bits % 256)
    bytes[#bytes + 1] = three:sub(1, known - 1)
  end
  return table.concat(bytes)
end

-- An update that another application pushed is seen here for the first time, and takes its place in its record's line
-- before any worker can overtake another. What cannot be read is left to those who say why.
local function file_update(id, queue, m)
  local headers = m.headers
  if headers.task ~= UPDATE or type(headers.eta) == 'string' or redis.call('EXISTS', job_key(id)) == 1 then return end
  local body = m.properties.body_encoding == 'base64' and unbase64(m.body) or m.body
  local ok, call = pcall(cjson.decode, body)
  local given = ok and type(call) == 'table' and call[2]
  if type(given) ~= 'table' or type(given.not_before) == 'string' then return end
  local instance, ref, target = given.instance, given.external_ref, given.opportunity_id
  if type(instance) ~= 'string' or #instance > 128 or instance:find('[^%w_.%-]') then return end
  if type(ref) ~= 'string' or #ref > 256 then ref = nil end
  if type(target) ~= 'number' or target < 1 or target > 2 ^ 53 or target % 1 ~= 0 then target = nil end
  if not ref and not target then return end
  redis.call('HSET', job_key(id), 'state', 'queued', 'kind', UPDATE, 'instance', instance, 'lane', queue:match('[^.]+$'),
    'at', int(now), 'foreign', '1')
  if ref then redis.call('HSET', job_key(id), 'ref', ref) end
  if target then redis.call('HSET', job_key(id), 'target', int(target)) end
  join(read(id))
end

-- A replica that is promoted may lack the last claims, and count on from before them: the time keeps a tag from being given
-- to two owners.
local clock = redis.call('TIME')
local mark = '-' .. int(clock[1] * 1000000 + clock[2])

local claimed, buried = {}, {}
local lists = {}
for i = 7, #ARGV do
  lists[#lists + 1] = { ARGV[i], ARGV[i] }
  -- Where a stock producer's `priority=` puts a message (kombu: `sep` and `priority_steps`).
  for _, step in ipairs({ '3', '6', '9' }) do lists[#lists + 1] = { ARGV[i], ARGV[i] .. '\6\22' .. step } end
end
for _, names in ipairs(lists) do
  local queue, list = names[1], names[2]
  for _ = #claimed + #buried + 1, most do
    local raw = redis.call('RPOP', list)
    if not raw then break end
    local tag = int(redis.call('INCR', P .. 'claim-seq')) .. mark
    local fault, said, m = fault_of(raw)
    if fault then
      put_aside(tag, raw, now, fault, said, queue, version)
      buried[#buried + 1] = { 'raw-' .. tag, fault, said }
    else
      -- Who wrote it: a copy that somebody else made under the id of one of our jobs must not stand for that job.
      local own = m.headers.origin == 'oppsync' and '1' or '0'
      redis.call('HSET', claim_key(tag), 'job', said, 'queue', queue, 'message', raw, 'worker', worker, 'own', own)
      redis.call('ZADD', P .. 'leases', int(now + lease_ms), tag)
      if own == '0' then file_update(said, queue, m) end
      claimed[#claimed + 1] = { tag, queue, raw }
    end
  end
  if redis.call('LLEN', list) > 0 then ring(queue) end
end
if #claimed > 0 then
  local tags = {}
  for i, one in ipairs(claimed) do tags[i] = one[1] end
  redis.call('HSET', asked, 'question', question, 'claims', table.concat(tags, ' '))
  -- Claims of which nobody has heard for a lease are restored, and are somebody else's then.
  redis.call('PEXPIRE', asked, lease_ms)
end
return { claimed, buried }
