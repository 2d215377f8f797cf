-- Gives a job that was just added its place among those that wait. Its class is a band of scores. In
-- there it gets a virtual finish time: one step behind the last job of its key, and not before the head
-- of the band. So keys are served in turn, and one that comes late waits for a round, not for a backlog.
-- KEYS prioritized, finishes of the class, counts, deadlines
-- ARGV id, start of the band, its width, step, key, bytes, ttl ms, deadline (ms since the epoch) or ''
-- Returns 0 when a worker was faster.
local from, width, step = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[6])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
local head = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], string.format('%.0f', from + width - 1),
  'WITHSCORES', 'LIMIT', 0, 1)
local finish = step
if head[2] then
  local last = tonumber(redis.call('HGET', KEYS[2], ARGV[5]) or 0)
  -- At the end of the band the order is that of the ids, which is that of their age.
  finish = math.min(math.max(head[2] - from, last + step), width - 1)
end
local placed = redis.call('ZADD', KEYS[1], 'XX', 'CH', string.format('%.0f', from + finish), ARGV[1])
if placed == 0 then return 0 end
if not head[2] then
  -- Nobody of this class waits: what was used before is forgotten.
  redis.call('DEL', KEYS[2])
  -- What was not counted back (a job removed by an operator) is, too.
  if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('HSET', KEYS[3], 'bytes', ARGV[6]) end
end
redis.call('HSET', KEYS[2], ARGV[5], string.format('%.0f', finish))
redis.call('PEXPIRE', KEYS[2], ARGV[7])
if ARGV[8] ~= '' then
  redis.call('ZADD', KEYS[4], ARGV[8], ARGV[1])
  redis.call('PEXPIRE', KEYS[4], ARGV[7])
end
return 1
