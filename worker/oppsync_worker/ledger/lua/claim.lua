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

-- What one run of this script may read, so that nobody's messages hold Redis up: what is over it waits for the next run.
-- A hundred messages of the usual size are below it; as many bytes of the most hostile JSON take some milliseconds.
local left = { bytes = 131072, base64 = 90112 }
local function worn_out() return left.bytes <= 0 or left.base64 <= 0 end

local function fault_of(raw)
  left.bytes = left.bytes - #raw
  if #raw > max_bytes then return 'oversized', 'a message of ' .. #raw .. ' bytes; the limit is ' .. max_bytes end
  local ok, m = pcall(cjson.decode, raw)
  if not ok or type(m) ~= 'table' then return 'undecodable', 'the message is not a JSON object' end
  if type(m.headers) ~= 'table' or type(m.headers.task) ~= 'string' then
    return 'malformed', 'the message has no header "task"'
  end
  local id = m.headers.id
  if type(id) ~= 'string' or #id > 128 or not id:find('^%w[%w_.:%-]*$') or id:sub(1, 4) == 'raw-' then
    return 'malformed', 'the message has no usable header "id"'
  end
  if type(m.properties) ~= 'table' or type(m.body) ~= 'string' then
    return 'malformed', 'the message has no properties or no body'
  end
  return nil, id, m
end

-- RFC 4648, section 4: four characters are three bytes. Sums of two looked-up numbers, eight groups a step: a quarter of
-- the time that shifting each character takes.
local SIX
local function sixes()
  SIX = { {}, {}, {}, {}, {}, {} }
  local a, b_high, b_low, c_high, c_low, d = unpack(SIX)
  for i = 0, 63 do
    local char = ('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'):byte(i + 1)
    a[char], b_high[char], b_low[char] = i * 4, math.floor(i / 16), i % 16 * 16
    c_high[char], c_low[char], d[char] = math.floor(i / 4), i % 4 * 64, i
  end
  local padding = ('='):byte()
  c_high[padding], c_low[padding], d[padding] = 0, 0, 0
end
local function unbase64(text)
  if not SIX then sixes() end
  local a, b, B, c, C, d = unpack(SIX)
  local byte, char, parts, n = string.byte, string.char, {}, 0
  local whole = #text - #text % 32
  for i = 1, whole, 32 do
    local p1, q1, r1, s1, p2, q2, r2, s2, p3, q3, r3, s3, p4, q4, r4, s4, p5, q5, r5, s5, p6, q6, r6, s6, p7, q7, r7, s7,
      p8, q8, r8, s8 = byte(text, i, i + 31)
    n = n + 1
    parts[n] = char(a[p1] + b[q1], B[q1] + c[r1], C[r1] + d[s1], a[p2] + b[q2], B[q2] + c[r2], C[r2] + d[s2],
      a[p3] + b[q3], B[q3] + c[r3], C[r3] + d[s3], a[p4] + b[q4], B[q4] + c[r4], C[r4] + d[s4],
      a[p5] + b[q5], B[q5] + c[r5], C[r5] + d[s5], a[p6] + b[q6], B[q6] + c[r6], C[r6] + d[s6],
      a[p7] + b[q7], B[q7] + c[r7], C[r7] + d[s7], a[p8] + b[q8], B[q8] + c[r8], C[r8] + d[s8])
  end
  for i = whole + 1, #text, 4 do
    local p, q, r, s = byte(text, i, i + 3)
    n = n + 1
    parts[n] = char(a[p] + b[q], B[q] + c[r], C[r] + d[s])
  end
  local bytes = table.concat(parts)
  return bytes:sub(1, #bytes - #text:match('=*$'))
end

-- What a message calls its task with, as another application wrote it; nil if that cannot be read here: it is compressed,
-- or too long, or wrong. Then it is read by those who say why. Writes nothing, and never raises.
local calls = {}
local function read_call(m)
  if calls[m] == nil then
    local ok, given = pcall(function()
      local body = m.body
      if type(m.headers.compression) == 'string' then return nil end
      if m.properties.body_encoding == 'base64' then
        if #body > 90112 then return nil end
        left.base64 = left.base64 - #body
        body = unbase64(body)
      end
      local call = cjson.decode(body)
      return type(call) == 'table' and type(call[2]) == 'table' and call[2]
    end)
    calls[m] = ok and given or false
  end
  return calls[m] or nil
end

-- How many characters a text of UTF-8 has.
local function characters(text)
  local _, found = text:gsub('[^\128-\191]', '')
  return found
end

-- An update that another application pushed is seen here for the first time, and takes its place in its record's line
-- before any worker can overtake another. What cannot be read is left to those who say why.
local function file_update(id, queue, m)
  local headers = m.headers
  if headers.task ~= UPDATE or type(headers.eta) == 'string' or redis.call('EXISTS', job_key(id)) == 1 then return end
  local given = read_call(m)
  if not given or type(given.not_before) == 'string' then return end
  local instance, ref, target = given.instance, given.external_ref, given.opportunity_id
  if type(instance) ~= 'string' or #instance > 63 or not instance:find('^%w[%w_.%-]*$') then return end
  -- The contract allows 200 characters, of up to four bytes each.
  if type(ref) ~= 'string' or #ref == 0 or #ref > 800 or characters(ref) > 200 then ref = nil end
  if type(target) ~= 'number' or target < 1 or target >= 2 ^ 53 or target % 1 ~= 0 then target = nil end
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
    if worn_out() then break end
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
