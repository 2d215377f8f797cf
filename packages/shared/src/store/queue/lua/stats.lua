-- Returns the state of one shard's queue at one moment.
-- KEYS prioritized, wait, active, counts, deadlines, skipped models, then the finishes of each class
-- ARGV now (ms since the epoch), start of the first band, width of a band, ms in which the caller ends overdue requests,
--      seconds for which a model counts as skipped
-- Returns {jobs in front of all classes, active jobs, jobs taken so far, bytes of waiting bodies, {overdue ids},
--          {skipped models}, then for each class {waiting, clock, {key, finish, …}}}.
local prioritized, wait, active, counts, deadlines, skipped = unpack(KEYS)
local now, firstBand, width, endMs, skippedSeconds = unpack(ARGV)
local firstFinishes = 7
local from = tonumber(firstBand)
width = tonumber(width)
local known = redis.call('HMGET', counts, '@counts.taken', '@counts.bytes')
local overdue, gone = {}, {}
local inList = redis.call('LLEN', wait)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, 1000)) do
  if not redis.call('ZSCORE', prioritized, id) and not (inList > 0 and redis.call('LPOS', wait, id)) then
    gone[#gone + 1] = id
  elseif #overdue < 250 then
    -- The caller has `endMs` to end the request before another caller gets it.
    redis.call('ZADD', deadlines, now + endMs, id)
    overdue[#overdue + 1] = id
  end
end
-- The worker that holds or held such a job enforces its deadline.
if #gone > 0 then redis.call('ZREM', deadlines, unpack(gone)) end
local front = inList + redis.call('ZCOUNT', prioritized, '-inf', '(' .. firstBand)
local reply = {front, redis.call('LLEN', active), known[1] or '0', known[2] or '0', overdue,
  redis.call('ZRANGEBYSCORE', skipped, redis.call('TIME')[1] - skippedSeconds, '+inf')}
for class = firstFinishes, #KEYS do
  local first = string.format('%.0f', from)
  local last = string.format('%.0f', from + width - 1)
  local head = redis.call('ZRANGEBYSCORE', prioritized, first, last, 'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] then
    local clock = tonumber(redis.call('HGET', counts, '@counts.clock' .. first) or 0)
    reply[#reply + 1] = {redis.call('ZCOUNT', prioritized, first, last),
      string.format('%.0f', math.max(head[2] - from, clock)), redis.call('HGETALL', KEYS[class])}
  else
    reply[#reply + 1] = {0, '0', {}}
  end
  from = from + width
end
return reply
