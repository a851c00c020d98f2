-- Another application's message, read as the contract reads it (oppsync_worker/contract): what is taken here stands under
-- its key and in its lines from then on, and no worker has judged it. So nothing is taken here that a worker may refuse.
-- What is in doubt is left to a worker, which reads it at once: fields out of the ordinary, numbers and texts written
-- unusually, and what this JSON takes and Python's does not (hexadecimal, control characters, bytes that are no UTF-8).

-- RFC 3629.
local function is_utf8(text)
  text = text:gsub('[\194-\223][\128-\191]', '.'):gsub('[\225-\236\238\239][\128-\191][\128-\191]', '.')
    :gsub('\224[\160-\191][\128-\191]', '.'):gsub('\237[\128-\159][\128-\191]', '.')
    :gsub('\240[\144-\191][\128-\191][\128-\191]', '.'):gsub('[\241-\243][\128-\191][\128-\191][\128-\191]', '.')
    :gsub('\244[\128-\143][\128-\191][\128-\191]', '.')
  return not text:find('[\128-\255]')
end

-- An integer that is written as one: 7.0 is none to the contract, and the same number here.
local WHOLE = { 'v', 'funnel_id', 'crm_column', 'lead_id', 'sequence', 'user', 'opportunity_id' }
local function writes_integers_plainly(text)
  if text:find('\\u00[2-7]') then return false end
  for _, name in ipairs(WHOLE) do if text:find('"' .. name .. '"%s*:%s*%-?%d+%.') then return false end end
  return true
end

-- Of a text that this JSON could read, whether Python's is certain to read the same in it. (Each look at a whole text costs
-- some microseconds.)
local WORDS = { null = true, ['true'] = true, ['false'] = true, ['0'] = true }
local function is_plain_json(text)
  if not text:find('^[ -~]*$') and (text:find('[%z\1-\31]') or not is_utf8(text)) then return false end
  local bare, points = (text:find('\\', 1, true) and text:gsub('\\.', '') or text):gsub('"[^"]*"', ''), false
  for word in bare:gmatch('[^%[%]{},: ]+') do
    if not WORDS[word] and (#word > 15 or not word:find('^%-?[1-9]%d*$')) then
      if not word:find('^%-?[1-9]%d*%.%d+$') and not word:find('^%-?0%.%d+$') then return false end
      points = true
    end
  end
  return not points or writes_integers_plainly(text)
end

local function is_id(value) return type(value) == 'number' and value >= 1 and value < 2 ^ 53 and value % 1 == 0 end

-- Of so many characters at most, one of which is certainly no space; without NUL. It is valid UTF-8 (is_plain_json).
local function is_text(text, most)
  if type(text) ~= 'string' or text:find('%z') or not text:find('[!-~\195-\224\228-\244]') then return false end
  return #text <= most or (#text <= 4 * most and select(2, text:gsub('[^\128-\191]', '')) <= most)
end

local function is_money(value)
  if type(value) == 'number' then
    return value > -1e13 and value < 1e13 and tonumber(string.format('%.2f', value)) == value
  end
  if type(value) ~= 'string' then return false end
  local digits, cents = value:match('^%-?(%d+)%.?(%d*)$')
  return digits and #digits <= 13 and #cents <= 2 and (cents ~= '' or not value:find('.', 1, true))
end

-- A point in time in ms, from ISO 8601 with a zone; nil where it is anything but plain.
local function moment(text)
  if type(text) ~= 'string' then return end
  local y, mo, d, h, mi, s, rest = text:match('^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)(.*)$')
  if not y then return end
  y, mo, d, h, mi, s = tonumber(y), tonumber(mo), tonumber(d), tonumber(h), tonumber(mi), tonumber(s)
  local leap = (y % 4 == 0 and y % 100 ~= 0) or y % 400 == 0
  local last = mo == 2 and (leap and 29 or 28) or (mo == 4 or mo == 6 or mo == 9 or mo == 11) and 30 or 31
  -- A zone must not carry it out of the years that Python knows.
  if y < 1971 or y > 9998 or mo < 1 or mo > 12 or d < 1 or d > last or h > 23 or mi > 59 or s > 59 then return end
  local fraction, zone = rest:match('^%.(%d+)(.*)$')
  zone = zone or rest
  local sign, zh, zm = zone:match('^([+-])(%d%d):(%d%d)$')
  if zone ~= 'Z' and not sign or sign and (tonumber(zh) > 23 or tonumber(zm) > 59) or #(fraction or '') > 6 then return end
  local early = mo <= 2 and 1 or 0
  local yoe = (y - early) % 400
  local doy = math.floor((153 * (mo + (mo > 2 and -3 or 9)) + 2) / 5) + d - 1
  local doe = yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy
  local days = math.floor((y - early) / 400) * 146097 + doe - 719468
  local offset = sign and (sign == '-' and -1 or 1) * (tonumber(zh) * 60 + tonumber(zm)) or 0
  local ms = fraction and tonumber((fraction .. '00'):sub(1, 3)) or 0
  return ((days * 24 + h) * 60 + mi - offset) * 60000 + s * 1000 + ms
end

local function are_custom_fields(fields)
  if type(fields) ~= 'table' or next(fields) == nil or fields.__type__ ~= nil then return false end
  for name, value in pairs(fields) do
    if type(name) ~= 'string' or name == '' or name:find('%z') or type(value) == 'table' then return false end
    if type(value) == 'string' and value:find('%z') then return false end
  end
  return true
end

local LANE_NAMES = { interactive = true, bulk = true }
local STATUSES = { open = true, gain = true, lost = true }
-- Every field of the contract: what it takes; those of SprintHub's document; those that a create cannot do without.
local FIELDS = {
  v = function(value) return value == 1 end,
  instance = function(value)
    return type(value) == 'string' and #value <= 63 and value:find('^%w[%w_.%-]*$') ~= nil
  end,
  funnel_id = is_id, title = function(value) return is_text(value, 500) end, value = is_money, crm_column = is_id,
  lead_id = is_id, sequence = function(value) return value == 0 or is_id(value) and value < 2 ^ 31 end,
  status = function(value) return STATUSES[value] end, expectedCloseDate = moment, user = is_id,
  fields = are_custom_fields, external_ref = function(value) return is_text(value, 200) end,
  idempotency_key = function(value) return is_text(value, 200) end, opportunity_id = is_id,
  lane = function(value) return LANE_NAMES[value] end, not_before = moment, deadline = moment,
}
local DOCUMENT = { 'title', 'value', 'crm_column', 'lead_id', 'sequence', 'status', 'expectedCloseDate', 'user', 'fields' }
-- Nothing is not what they are without being named.
local NEVER_NULL = { v = true, instance = true, funnel_id = true, status = true }

-- A job's fields without the empty ones, if the contract is certain to take them; else nil.
local function job_fields(kind, given)
  local plain = {}
  for name, value in pairs(given) do
    if not FIELDS[name] then return end
    if value ~= cjson.null then
      if not FIELDS[name](value) then return end
      plain[name] = value
    elseif NEVER_NULL[name] then
      return
    end
  end
  if not plain.instance or not plain.funnel_id then return end
  if kind == CREATE then
    return not plain.opportunity_id and given.opportunity_id == nil and plain.title and plain.crm_column and plain or nil
  end
  if not plain.opportunity_id and not plain.external_ref then return end
  for _, name in ipairs(DOCUMENT) do if plain[name] ~= nil then return plain end end
end
