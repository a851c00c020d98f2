-- #include life
-- Renew the leases of claims in hand. ARGV: lease_ms, tags. Returns the tags that are no longer ours.
local till, lost = int(now_ms() + tonumber(ARGV[1])), {}
for i = 2, #ARGV do
  if owns(ARGV[i]) then
    redis.call('ZADD', P .. 'leases', till, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
