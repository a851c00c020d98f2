-- #include ground
-- Claim up to n messages: each gets a fresh tag, which is its fencing token, and a lease. What can be sent now is claimed;
-- what is found in a lane and cannot goes to where it waits for its turn, also when the worker has no room (n = 0).
-- What is not a message of Celery's protocol is buried on the spot with its raw bytes, and never reaches Python.
-- ARGV: n, lease_ms, worker, question, largest message in bytes, version, queues in order of priority. The same question
-- asked again gives the same claims: its answer was lost on the way, and nobody has heard of them.
-- Returns {{{tag, queue, message}, ...}, {{job id, cause, detail}, ...} of the buried, how many went to where they wait, and, if
-- there are any, the lanes and instances of which a key is of another type}
local most, lease_ms, worker, question = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local max_bytes, version = tonumber(ARGV[5]), ARGV[6]
local clock = redis.call('TIME')
local now, asked = clock[1] * 1000 + math.floor(clock[2] / 1000), P .. 'asked:' .. worker
local before, given = unpack(redis.call('HMGET', asked, 'question', 'claims'))
if before == question then
  local again = {}
  for tag in given:gmatch('%S+') do
    local queue, raw = unpack(redis.call('HMGET', claim_key(tag), 'queue', 'message'))
    if raw then again[#again + 1] = { tag, queue, raw } end
  end
  return { again, {}, 0 }
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

-- A replica that is promoted may lack the last claims, and count on from before them: the time keeps a tag from being given
-- to two owners.
local mark = '-' .. int(clock[1] * 1000000 + clock[2])

local claimed, buried = {}, {}
-- Where a stock producer's `priority=` puts a message (kombu: `sep` and `priority_steps`).
local lists, prior = {}, {}
for i = 7, #ARGV do
  lists[i - 6] = { ARGV[i], ARGV[i] }
  for _, step in ipairs({ '3', '6', '9' }) do prior[#prior + 1] = ARGV[i] .. '\6\22' .. step end
end
if redis.call('EXISTS', unpack(prior)) > 0 then
  lists = {}
  for i = 7, #ARGV do
    lists[#lists + 1] = { ARGV[i], ARGV[i] }
    for at = 3 * (i - 7) + 1, 3 * (i - 6) do lists[#lists + 1] = { ARGV[i], prior[at] } end
  end
end
local FILE_MOST = 200
local MEDDLED = 'a key of its instance, or of its own, holds a value of another type: somebody has written to it'
local filed, lines = 0, {}
-- A message without a slot goes to where it waits, if it is certain to be a job; and what cannot go there (below).
local file, bury
local function pop(list) return redis.call('RPOP', list) end
local function look_at_entry(id) return redis.call('HMGET', job_key(id), 'state', 'slot_at') end
local function take_on(said, queue, m, own, raw)
  local tag = int(redis.call('INCR', P .. 'claim-seq')) .. mark
  redis.add('HSET', claim_key(tag), 'job', said, 'queue', queue, 'message', raw, 'worker', worker, 'own', own,
    unpack(own == '0' and { 'asks', redis.sha1hex(m.body) } or {}))
  redis.call('ZADD', P .. 'leases', int(now + lease_ms), tag)
  -- What a worker must read keeps its place in the order all the same.
  if own == '0' and m.headers.task == UPDATE and redis.call('EXISTS', job_key(said)) == 0 then
    redis.call('HSET', claim_key(tag), 'number', int(redis.call('INCR', P .. 'order')))
  end
  claimed[#claimed + 1] = { tag, queue, raw }
end

-- What is in the first of a list: 'unusual' is what another application has pushed, and what cannot be claimed as it is. It is
-- looked for in the first three if this worker has claimed some, and so comes to the others; in the first twenty if it has no
-- room at all. What has a slot came from its line, and so has what stands behind it, unless somebody else wrote that.
local function what_is_in(list)
  local first = redis.call('LRANGE', list, most > 0 and -3 or -20, -1)
  for _, raw in ipairs(first) do if not raw:find('"origin":"oppsync"', 1, true) then return 'unusual' end end
  if #first == 0 then return 'nothing' end
  if most > 0 then return end
  local fault, id = fault_of(first[#first])
  left.bytes = left.bytes + #first[#first]
  local sound, entry = apart(look_at_entry, fault and '' or id)
  if not sound or not entry[1] or (entry[1] == 'queued' and not entry[2]) then return 'unusual' end
end

-- A job with a slot is handed over at its lane's front, before all that has none. With more slots than workers have hands
-- the first to come would be the last to go: so one question in four takes what has waited longest with its slot, of the
-- bulk lane in turn with the other.
local function last_of(list) return redis.call('LINDEX', list, 0) end
local function take_oldest(number)
  local lanes = #ARGV - 6
  for i = 0, lanes - 1 do
    local queue = ARGV[7 + (number + i) % lanes]
    local _, raw = apart(last_of, queue)
    if raw then
      local fault, id, m = fault_of(raw)
      local sound, entry = true, {}
      if not fault then sound, entry = apart(look_at_entry, id) end
      if sound and entry[1] == 'queued' and entry[2] then
        redis.call('LPOP', queue)
        return take_on(id, queue, m, m.headers.origin == 'oppsync' and '1' or '0', raw)
      end
      left.bytes = left.bytes + #raw
    end
  end
end

-- Take what is in the lanes. Until there is `file`, whatever is not simply claimed stays where it was, and true is
-- returned.
local function take()
  for _, names in ipairs(lists) do
    local queue, list = names[1], names[2]
    -- What there is no room for stays where it was; behind it may be what needs none.
    local kept, none_left, unusual = {}, false, false
    while filed < FILE_MOST and #buried < most + FILE_MOST and not worn_out() do
      if #claimed == most and not file then
        -- No room is left. Behind what stays where it is may be what needs none.
        local sound, found = apart(what_is_in, list)
        if not sound then broken_at(list) end
        unusual, none_left = found == 'unusual', not sound or found == 'nothing' or most == 0
        break
      end
      local sound, raw = apart(pop, list)
      if not sound then broken_at(list) end
      if not raw then
        none_left = true
        break
      end
      local fault, said, m = fault_of(raw)
      -- Who wrote it: a copy that somebody else made under the id of one of our jobs must not stand for that job.
      local own = m and m.headers.origin == 'oppsync' and '1' or '0'
      local job
      if m then
        local entry
        sound, entry = apart(look_at_entry, said)
        local usual = sound and entry[1] and (entry[1] ~= 'queued' or entry[2])
        if not usual and sound and file then sound, job = apart(file, said, queue, m, own, raw) end
        unusual = not usual and not file
      end
      if (fault or unusual) and not file then
        left.bytes = left.bytes + #raw
        unusual = true
        kept[#kept + 1] = raw
        break
      end
      local buried_whole
      if not sound then
        broken_at(queue)
        fault = 'internal'
        sound, buried_whole = apart(bury, said, queue, m, raw)
        if not sound then said = MEDDLED end
      end
      if buried_whole then
        buried[#buried + 1] = { said, fault, MEDDLED }
      elseif fault then
        local tag = int(redis.call('INCR', P .. 'claim-seq')) .. mark
        put_aside(tag, raw, now, fault, said, queue, version)
        buried[#buried + 1] = { 'raw-' .. tag, fault, said }
      elseif job then
        filed = filed + 1
        if not lines[job.instance] then lines[#lines + 1] = job.instance end
        lines[job.instance] = true
      elseif #claimed < most then
        take_on(said, queue, m, own, raw)
      else
        kept[#kept + 1] = raw
        if #kept == 20 then break end
      end
    end
    for i = #kept, 1, -1 do redis.call('RPUSH', list, kept[i]) end
    if unusual then return true end
    -- A worker without room looks at what it could not take when it has room again, or another does.
    local more = #kept == 0 or filed >= FILE_MOST or worn_out()
    if (more or most > 0) and (#kept > 0 or not none_left) and redis.call('LLEN', list) > 0 then ring(queue) end
  end
end

local function answer()
  if #claimed > 0 then
    local tags = {}
    for i, one in ipairs(claimed) do tags[i] = one[1] end
    redis.known('HSET', asked, { before, given }, 'question', question, 'claims', table.concat(tags, ' '))
    -- Claims of which nobody has heard for a lease are restored, and are somebody else's then.
    redis.call('PEXPIRE', asked, lease_ms)
  end
  return with_broken({ claimed, buried, filed })
end

local number = tonumber(question:match('%-(%d+)$') or nil)
if number and number % 4 == 0 and most > 0 then take_oldest(number / 4) end

-- Mostly there is nothing to file, and then nothing of the library is needed, which takes longer to build than that.
if not take() then return answer() end

-- #level
-- #include life
-- #first int job_key claim_key ring worn_out fault_of pop look_at_entry take_on what_is_in last_of take_oldest take answer
-- #include contract
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

-- What a message calls its task with, as another application wrote it; nil if that is not certain to be a call that a
-- worker takes: it is compressed, too long or wrong, or it wants more than a call (callbacks, chains, chords). Then it is
-- read by those who say why. Writes nothing, and never raises.
local function read_call(m)
  local ok, given = pcall(function()
    local body, encoding = m.body, m.properties.body_encoding
    if (m.headers.compression or cjson.null) ~= cjson.null or m.properties[1] ~= nil then return nil end
    if encoding == 'base64' then
      if #body > 90112 then return nil end
      left.base64 = left.base64 - #body
      body = unbase64(body)
    elseif encoding and encoding ~= cjson.null and encoding ~= 'utf-8' then
      return nil
    end
    local call = cjson.decode(body)
    if type(call) ~= 'table' or not body:find('^%[ *%[ *%]') or not body:find('[}l]%]$') or call[4] ~= nil then return nil end
    if not is_plain_json(body) or type(call[2]) ~= 'table' then return nil end
    if type(call[3]) ~= 'table' then return call[3] == cjson.null and call[2] or nil end
    if call[3].__type__ ~= nil then return nil end
    for _, value in pairs(call[3]) do if value ~= cjson.null then return nil end end
    return call[2]
  end)
  return ok and given or nil
end

-- A job that another application pushed is seen here for the first time, and goes to where it really waits before any
-- worker can overtake another: neither a lane nor a worker's time is taken up by a backlog that has no slot. What is not
-- certain to be a job is left to those who say why, before it stands under a key or in a line.
local function file_foreign(id, queue, m, raw)
  local kind = m.headers.task
  if kind ~= CREATE and kind ~= UPDATE then return end
  if m['content-type'] ~= 'application/json' or tostring(m['content-encoding']):lower() ~= 'utf-8' then return end
  if not is_plain_json(raw) then return end
  local given = read_call(m)
  local plain = given and job_fields(kind, given)
  if not plain then return end
  local instance, ref, key, lane = plain.instance, plain.external_ref, plain.idempotency_key, plain.lane
  -- Until its create is there it would be blocked, and nobody would say what is wrong with it.
  if kind == UPDATE and not plain.opportunity_id and redis.call('HEXISTS', P .. 'refs:' .. instance, ref) == 0 then return end
  local times = {}
  for name, header in pairs({ not_before = 'eta', deadline = 'expires' }) do
    local said = m.headers[header]
    if said == cjson.null then said = nil end
    if said ~= nil and (type(said) ~= 'string' or plain[name]) then return end
    said = said or plain[name]
    times[name] = said and moment(said)
    if said and not times[name] then return end
  end
  if times.not_before and times.deadline and times.deadline <= times.not_before then return end
  if key then
    local idem = P .. 'idem:' .. instance .. ':' .. key
    local first = redis.call('GET', idem)
    if first and first ~= id then return end
    redis.call('SET', idem, id)
  end
  lane = lane or queue:match('[^.]+$')
  local fields = { 'state', 'queued', 'kind', kind, 'instance', instance, 'lane', lane, 'at', int(now), 'foreign', '1',
    'asks', redis.sha1hex(m.body) }
  local function know(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if ref then know('ref', ref) end
  if key then know('key', key) end
  if plain.opportunity_id then know('target', int(plain.opportunity_id)) end
  if times.deadline then know('deadline', int(times.deadline)) end
  redis.call('HSET', job_key(id), unpack(fields))
  local job = read(id)
  if ref and kind == CREATE then
    redis.call('HSET', P .. 'making:' .. instance, ref, id)
    inherit(job)
  end
  return job, times.not_before
end

-- A message that stands for a job without a slot is no business of a worker yet. Returns the job, and when it is due.
local function to_be_filed(id, queue, m, own, raw)
  local job = read(id)
  if not job.state then
    if own == '0' then return file_foreign(id, queue, m, raw) end
  elseif job.state == 'queued' and not job.slot_at and stands_for(job, own, own == '0' and redis.sha1hex(m.body)) then
    -- From the version before, which kept its backlogs in the lanes.
    inherit(job)
    return job
  end
end

-- Returns the job, if it was one.
function file(id, queue, m, own, raw)
  local job, due = to_be_filed(id, queue, m, own, raw)
  if job then
    if due and due > now then move(job, 'scheduled', now, raw, due) else line_up(job, now, raw) end
  end
  return job
end

-- It cannot be filed, since somebody has written to one of the keys: a dead letter under its own id, which can be replayed.
function bury(id, queue, m, raw)
  local job = read(id)
  if not job.state then
    redis.call('HSET', job_key(id), 'at', int(now), 'lane', queue:match('[^.]+$'), 'foreign', '1', 'asks', redis.sha1hex(m.body))
  end
  redis.call('HSET', job_key(id), 'cause', 'internal', 'detail', MEDDLED, 'version', version)
  move(job, 'dead', now, raw)
  write_failure(id, 'internal', MEDDLED, now)
  return true
end

local function hand_slots_to(instance) return grant(instance, now, 250, FILE_MOST) end
take()
for _, instance in ipairs(lines) do
  if not apart(hand_slots_to, instance) then broken_at(instance) end
end
return answer()
