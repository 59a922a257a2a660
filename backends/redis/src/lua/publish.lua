-- Publishes what XADD alone cannot: with a delay, with an id that is to be refused twice, or into a queue with
-- a limit.
-- KEYS: stream, due, held, mark, then for each message the key of its id, or the stream for none.
-- ARGV: limit or 0, window in ms; then for each: id or '', delay in ms, name, count of fields, fields.
-- Answers for each: {0, id}, {1, id} for a duplicate, {2, size} for a full queue, or {3, error}.
local stream, due_set, held, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, window = tonumber(ARGV[1]), ARGV[2]
local results = {}
local at, number = 3, 0

local function one(key, dedup, delay, name, fields)
  if dedup then
    local earlier = redis.call('GET', key)
    if earlier then return { 1, earlier } end
  end
  if limit > 0 then
    local size = redis.call('XLEN', stream) + redis.call('ZCARD', due_set)
    if size >= limit then return { 2, size } end
  end
  local id = name
  if delay > 0 then
    fields[#fields + 1] = 'msg-id'
    fields[#fields + 1] = name
    hold(stream, due_set, held, mark, name, fields, delay, true)
  else
    id = redis.call('XADD', stream, '*', unpack(fields))
  end
  if dedup then redis.call('SET', key, id, 'PX', window) end
  return { 0, id }
end

while at <= #ARGV do
  number = number + 1
  local dedup, delay, name, count = ARGV[at] == '1', tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local fields = {}
  for offset = 1, count do fields[offset] = ARGV[at + 3 + offset] end
  at = at + 4 + count
  local done, result = pcall(one, KEYS[4 + number], dedup, delay, name, fields)
  if not done then
    result = { 3, type(result) == 'table' and result.err or tostring(result) }
  end
  results[number] = result
end
return results
