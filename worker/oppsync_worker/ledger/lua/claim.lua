-- #include life
-- Claim up to n messages: each gets a fresh tag, which is its fencing token, and a lease.
-- What is not a message of Celery's protocol is buried on the spot with its raw bytes, and never reaches Python.
-- ARGV: n, lease_ms, worker, largest message in bytes, version, queues in order of priority
-- Returns {{{tag, queue, message}, ...}, {{job id, cause, detail}, ...} of the buried}
local most, lease_ms, worker, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local now = now_ms()

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
  return nil, id
end

local claimed, buried = {}, {}
local lists = {}
for i = 6, #ARGV do
  lists[#lists + 1] = { ARGV[i], ARGV[i] }
  -- Where a stock producer's `priority=` puts a message (kombu: `sep` and `priority_steps`).
  for _, step in ipairs({ '3', '6', '9' }) do lists[#lists + 1] = { ARGV[i], ARGV[i] .. '\6\22' .. step } end
end
for _, names in ipairs(lists) do
  local queue, list = names[1], names[2]
  for _ = #claimed + #buried + 1, most do
    local raw = redis.call('RPOP', list)
    if not raw then break end
    local tag = int(redis.call('INCR', P .. 'claim-seq'))
    local fault, said = fault_of(raw)
    if fault then
      local id = 'raw-' .. tag
      redis.call('HSET', job_key(id), 'state', 'dead', 'at', int(now), 'since', int(now), 'cause', fault, 'detail', said,
        'queue', queue, 'message', raw, 'version', ARGV[5])
      redis.call('ZADD', P .. 'dead', int(now), id)
      buried[#buried + 1] = { id, fault, said }
    else
      redis.call('HSET', claim_key(tag), 'job', said, 'queue', queue, 'message', raw, 'worker', worker)
      redis.call('ZADD', P .. 'leases', int(now + lease_ms), tag)
      claimed[#claimed + 1] = { tag, queue, raw }
    end
  end
  if redis.call('LLEN', list) > 0 then ring(queue) end
end
return { claimed, buried }
