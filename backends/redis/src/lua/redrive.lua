-- Moves dead letters back, as messages that were never tried; those somebody has at hand stay.
-- KEYS: dead stream, stream. ARGV: group, where to go on, the most to move.
-- Answers: how many were moved, and where to go on or nothing at the end.
local dead, stream, group = KEYS[1], KEYS[2], ARGV[1]
local most = tonumber(ARGV[3])
local entries = redis.call('XRANGE', dead, ARGV[2], '+', 'COUNT', most)
local moved, last = 0, ''
for _, entry in ipairs(entries) do
  local id, fields = entry[1], entry[2]
  last = '(' .. id
  local out = redis.pcall('XPENDING', dead, group, id, id, 1)
  if (out.err or #out == 0) and not is_mark(fields) then
    redis.call('XADD', stream, '*', unpack(amend(fields, BURIED, {})))
    redis.call('XDEL', dead, id)
    moved = moved + 1
  end
end
if #entries < most then last = '' end
return { moved, last }
