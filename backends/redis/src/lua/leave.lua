-- Removes consumers that have nothing pending: deleting one that has loses what it has.
-- KEYS: stream. ARGV: group, how long others must have been idle in ms, names of those that have left.
-- Answers which of these are still there.
local stream, group, idle = KEYS[1], ARGV[1], tonumber(ARGV[2])
local left = {}
for at = 3, #ARGV do left[ARGV[at]] = true end
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
if consumers.err then return {} end
local stay = {}
for _, consumer in ipairs(consumers) do
  local of = {}
  for at = 1, #consumer, 2 do of[consumer[at]] = consumer[at + 1] end
  if of.pending == 0 and (left[of.name] or of.idle > idle) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, of.name)
  elseif left[of.name] then
    stay[#stay + 1] = of.name
  end
end
return stay
