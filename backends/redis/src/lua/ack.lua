-- Acknowledges. An entry is delivered once in its life, so one that is pending is pending for its receipt.
-- KEYS: stream. ARGV: group, ids. Answers the places of those that are somebody else's by now, counted from 1.
local stream, group = KEYS[1], ARGV[1]
local lost = {}
if redis.call('XACK', stream, group, unpack(ARGV, 2)) == #ARGV - 1 then
  redis.call('XDEL', stream, unpack(ARGV, 2))
else
  -- Whoever else has a message has it in another entry, and this one is gone.
  for at = 2, #ARGV do
    if redis.call('XDEL', stream, ARGV[at]) == 0 then lost[#lost + 1] = at - 1 end
  end
end
return lost
