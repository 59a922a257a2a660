-- Puts into the stream what is due, and what was leased to somebody who did not come back.
-- KEYS: stream, due, held, mark, kept. ARGV: group, lease in ms, the most to move, ids of marks that were read.
-- Answers: how many were due, how many came back, ms until the next is due or -1, whether there may be more.
local stream, due_set, held, mark, kept = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

for at = 4, #ARGV do
  redis.call('XACK', stream, group, ARGV[at])
  redis.call('XDEL', stream, ARGV[at])
  redis.call('DEL', mark)
end

local time = now()
local due = redis.call('ZRANGEBYSCORE', due_set, '-inf', string.format('%.0f', time), 'LIMIT', 0, most)
for _, id in ipairs(due) do
  local packed = redis.call('HGET', held, id)
  if packed then
    redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(packed)))
    redis.call('HDEL', held, id)
  end
  redis.call('ZREM', due_set, id)
end

-- The lease is in the name of its consumer, as each may have another.
local function lease_of(consumer)
  return tonumber(string.match(consumer, '~(%d+)$') or lease)
end

local back, seen, after = 0, 0, '-'
local some = redis.pcall('XPENDING', stream, group, 'IDLE', lease, '-', '+', most)
if some.err then some = {} end
while #some > 0 and back < most and seen < most * 10 do
  for _, entry in ipairs(some) do
    local id, consumer, idle = entry[1], entry[2], entry[3]
    seen = seen + 1
    after = '(' .. id
    local until_time = tonumber(redis.call('ZSCORE', kept, id) or 0)
    if idle >= lease_of(consumer) and until_time <= time then
      local fields = read(stream, id)
      if fields and is_mark(fields) then
        redis.call('DEL', mark)
      elseif fields then
        redis.call('XADD', stream, '*', unpack(again(fields, id, tried(fields) + 1)))
        back = back + 1
      end
      redis.call('XACK', stream, group, id)
      redis.call('XDEL', stream, id)
    end
  end
  if #some < most then break end
  some = redis.call('XPENDING', stream, group, 'IDLE', lease, after, '+', most)
end
redis.call('ZREMRANGEBYSCORE', kept, '-inf', string.format('%.0f', time))

local first = redis.call('ZRANGE', due_set, 0, 0, 'WITHSCORES')
local wait = -1
if #first > 0 then wait = math.max(0, tonumber(first[2]) - time) end
local more = 0
if #due >= most or back >= most then more = 1 end
return { #due, back, wait, more }
