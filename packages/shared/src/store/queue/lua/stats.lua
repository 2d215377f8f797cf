-- All that is to be known of those that wait, at one moment.
-- KEYS prioritized, wait, active, counts, deadlines, avoided models, finishes of each class
-- ARGV now (ms since the epoch), start of the first band, width of a band, ms to end what is overdue,
--      seconds for which a model counts as avoided
-- Returns {front, active, taken, bytes, {overdue ids}, {avoided models}, {waiting, clock, {key, finish, …}} of each class}
local from, width = tonumber(ARGV[2]), tonumber(ARGV[3])
local counts = redis.call('HMGET', KEYS[4], 'taken', 'bytes')
local overdue, gone = {}, {}
local plain = redis.call('LLEN', KEYS[2]) > 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
  if not redis.call('ZSCORE', KEYS[1], id) and not (plain and redis.call('LPOS', KEYS[2], id)) then
    gone[#gone + 1] = id
  elseif #overdue < 250 then
    -- Whoever looked has a while to end it before others are told.
    redis.call('ZADD', KEYS[5], ARGV[1] + ARGV[4], id)
    overdue[#overdue + 1] = id
  end
end
-- Whoever holds one, or held it, minds its deadline.
if #gone > 0 then redis.call('ZREM', KEYS[5], unpack(gone)) end
local front = redis.call('LLEN', KEYS[2]) + redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2])
local reply = {front, redis.call('LLEN', KEYS[3]), counts[1] or '0', counts[2] or '0', overdue,
  redis.call('ZRANGEBYSCORE', KEYS[6], redis.call('TIME')[1] - ARGV[5], '+inf')}
for class = 7, #KEYS do
  local first = string.format('%.0f', from)
  local last = string.format('%.0f', from + width - 1)
  local head = redis.call('ZRANGEBYSCORE', KEYS[1], first, last, 'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] then
    local clock = tonumber(redis.call('HGET', KEYS[4], 'clock:' .. first) or 0)
    reply[#reply + 1] = {redis.call('ZCOUNT', KEYS[1], first, last),
      string.format('%.0f', math.max(head[2] - from, clock)), redis.call('HGETALL', KEYS[class])}
  else
    reply[#reply + 1] = {0, '0', {}}
  end
  from = from + width
end
return reply
