-- Acknowledges. An entry is delivered once in its life, so one that is pending is pending for its receipt.
-- KEYS: stream. ARGV: group, ids. Answers the places of those that were not pending, counted from 1.
local stream, group = KEYS[1], ARGV[1]
local done, lost = {}, {}
for at = 2, #ARGV do
  local id = ARGV[at]
  if redis.call('XACK', stream, group, id) == 1 then
    done[#done + 1] = id
  else
    lost[#lost + 1] = at - 1
  end
end
if #done > 0 then redis.call('XDEL', stream, unpack(done)) end
return lost
