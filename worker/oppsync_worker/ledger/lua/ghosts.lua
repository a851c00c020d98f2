-- #include life
-- Places without a job: members that are elsewhere, or nowhere, are struck off; and claims without a lease get one that
-- has run out, so that they are restored. ARGV: the state whose place this is ('claim' for claims), the place's key, then
-- its members. Returns what was put right: member and word in turns.
local state, place = ARGV[1], ARGV[2]
local mended = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if state == 'claim' then
    if owns(id) and not redis.call('ZSCORE', P .. 'leases', id) then
      redis.call('ZADD', P .. 'leases', int(now_ms()), id)
      mended[#mended + 1] = id
      mended[#mended + 1] = 'without a lease'
    end
  elseif redis.call('ZSCORE', place, id) and not occupant(place, id, state) then
    mended[#mended + 1] = id
    mended[#mended + 1] = 'ghost'
  end
end
return mended
