-- What the scripts share. Every script runs alone on the server, so what it reads stays true while it writes.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Holds fields back until they are due. Whoever must learn of it when it is due before all others is woken by
-- an entry in the stream, of which there is at most one: reading it is what it is for.
local function hold(stream, due_set, held, mark, id, fields, delay, wake)
  local due = now() + delay
  local first = redis.call('ZRANGE', due_set, 0, 0, 'WITHSCORES')
  redis.call('HSET', held, id, cmsgpack.pack(fields))
  redis.call('ZADD', due_set, string.format('%.0f', due), id)
  if wake and (#first == 0 or due < tonumber(first[2])) and redis.call('EXISTS', mark) == 0 then
    redis.call('SET', mark, redis.call('XADD', stream, '*', 'w', ''))
  end
end

-- The fields of an entry, or nil when it is gone.
local function read(stream, id)
  local entries = redis.call('XRANGE', stream, id, id)
  return entries[1] and entries[1][2]
end

-- The fields without those of these names, and with others behind them.
local function amend(fields, without, with)
  local amended = {}
  for at = 1, #fields, 2 do
    if not without[fields[at]] then
      amended[#amended + 1] = fields[at]
      amended[#amended + 1] = fields[at + 1]
    end
  end
  for _, value in ipairs(with) do amended[#amended + 1] = value end
  return amended
end

local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then return fields[at + 1] end
  end
end

-- Whether the entry only wakes somebody.
local function is_mark(fields)
  return #fields == 2 and fields[1] == 'w'
end

local BURIED = { ['msg-attempt'] = true, ['msg-dead-reason'] = true, ['msg-dead-source'] = true,
  ['msg-dead-attempts'] = true, ['msg-dead-at'] = true, ['msg-id'] = true }

-- The same message as another entry, after so many attempts. It keeps the id it had first.
local function again(fields, id, attempts)
  local with = { 'msg-id', field(fields, 'msg-id') or id, 'msg-attempt', tostring(attempts) }
  return amend(fields, { ['msg-attempt'] = true, ['msg-id'] = true }, with)
end

-- How often it was tried before the delivery that is under way.
local function tried(fields)
  return tonumber(field(fields, 'msg-attempt') or '0') or 0
end
