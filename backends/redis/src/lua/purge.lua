-- Removes what waits and what is held back; what is out stays out.
-- KEYS: stream, due, held, mark. ARGV: group. Answers how many were removed.
local stream, group = KEYS[1], ARGV[1]
local removed = redis.call('ZCARD', KEYS[2])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
local last = '-'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then groups = {} end
for _, one in ipairs(groups) do
  local of = {}
  for at = 1, #one, 2 do of[one[at]] = one[at + 1] end
  if of.name == group then last = '(' .. of['last-delivered-id'] end
end
while true do
  local entries = redis.call('XRANGE', stream, last, '+', 'COUNT', 500)
  if #entries == 0 then return removed end
  for _, entry in ipairs(entries) do
    if not is_mark(entry[2]) then removed = removed + 1 end
    redis.call('XDEL', stream, entry[1])
  end
end
