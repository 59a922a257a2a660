-- Acknowledges. An entry is delivered once in its life, so one that is pending is pending for its receipt.
-- KEYS: stream. ARGV: group, ids. Answers the places of those that are somebody else's by now, counted from 1.
local stream, group = KEYS[1], ARGV[1]
local ids = { unpack(ARGV, 2) }
local lost = {}
if redis.call('XACK', stream, group, unpack(ids)) == #ids then
  redis.call('XDEL', stream, unpack(ids))
else
  -- Whoever else has a message has it in another entry, and this one is gone.
  for at, id in ipairs(ids) do
    if redis.call('XDEL', stream, id) == 0 then lost[#lost + 1] = at end
  end
end
return lost
