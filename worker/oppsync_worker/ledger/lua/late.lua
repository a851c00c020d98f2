-- #include ground
-- A request left later than it was counted.
-- ARGV: instance, the time at which it was counted (ms), how many ms later it left. Returns 1, or 0 when it is forgotten.
return counts_from(ARGV[1], ARGV[2], tonumber(ARGV[2]) + tonumber(ARGV[3]))
