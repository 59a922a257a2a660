-- KEYS: stream, due, mark, dead stream. ARGV: group. Answers: waiting, held back, out, dead.
local waiting = redis.call('XLEN', KEYS[1])
local out = 0
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if not pending.err then out = pending[1] end
local mark = redis.call('GET', KEYS[3])
if mark and #redis.call('XRANGE', KEYS[1], mark, mark) > 0 then
  -- Waiting or out, it is no message.
  waiting = waiting - 1
  local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], mark, mark, 1)
  if not held.err and #held > 0 then out = out - 1 end
end
return { waiting - out, redis.call('ZCARD', KEYS[2]), out, redis.call('XLEN', KEYS[4]) }
