-- #include life
-- A watchdog's look: can Redis be written to, and is there work? ARGV: worker, ms to keep the trace, queues.
-- Returns how many messages lie in the queues. Redis read-only, full or loading raises, as it would for any job.
redis.call('SET', P .. 'watch:' .. ARGV[1], int(now_ms()), 'PX', ARGV[2])
local waiting = 0
for i = 3, #ARGV do
  for _, step in ipairs({ '', '\6\0223', '\6\0226', '\6\0229' }) do
    waiting = waiting + redis.call('LLEN', ARGV[i] .. step)
  end
end
return waiting
