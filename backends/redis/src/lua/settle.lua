-- Settles in every way there is.
-- KEYS: stream, due, held, mark, kept, dead stream.
-- ARGV: group, whether to wake, lease in ms, name of the queue; then for each: what, id, a number, a text.
-- Answers for each: 1 when done, 0 when lost, or an error.
local stream, due_set, held, mark, kept, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, wake, lease, name = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4]
local results = {}

local function leave(id)
  redis.call('XACK', stream, group, id)
  redis.call('XDEL', stream, id)
end

local function one(what, id, number, text)
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if not pending then return 0 end
  if what == 'extend' then
    -- A lease ends when an entry was idle for long enough; there is no telling it to be idle later than now.
    redis.call('XCLAIM', stream, group, pending[2], 0, id, 'IDLE', math.max(0, lease - number), 'JUSTID')
    if number > lease then redis.call('ZADD', kept, string.format('%.0f', now() + number), id)
    else redis.call('ZREM', kept, id) end
    return 1
  end
  local fields = read(stream, id)
  if not fields then
    leave(id)
    return 0
  end
  -- Written first and removed then: what cannot be written stays where it is.
  if what == 'release' then
    redis.call('XADD', stream, '*', unpack(again(fields, id, tried(fields))))
  elseif what == 'retry' then
    local copy = again(fields, id, tried(fields) + 1)
    if number > 0 then
      hold(stream, due_set, held, mark, field(copy, 'msg-id'), copy, number, wake)
    else
      redis.call('XADD', stream, '*', unpack(copy))
    end
  elseif what == 'bury' then
    redis.call('XADD', dead, '*', unpack(amend(fields, BURIED, {
      'msg-id', field(fields, 'msg-id') or id, 'msg-dead-reason', text, 'msg-dead-source', name,
      'msg-dead-attempts', tostring(tried(fields) + 1), 'msg-dead-at', string.format('%.0f', now()) })))
  else
    error('ERR unknown way to settle')
  end
  leave(id)
  return 1
end

for at = 5, #ARGV, 4 do
  local done, result = pcall(one, ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
  if not done then
    result = type(result) == 'table' and result.err or tostring(result)
  end
  results[#results + 1] = result
end
return results
