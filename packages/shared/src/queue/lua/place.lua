-- Gives a job that was just added its place among those that wait. Its class is a band of scores. In
-- there it gets a virtual finish time: one step behind the last job of its key, and not before the head
-- of the band. So keys are served in turn, and one that comes late waits for a round, not for a backlog.
-- The first of a class is not written down: its key has one job more in its first round.
-- Where the head stays because a worker avoids its model, the class's clock goes on without it.
-- KEYS prioritized, finishes of the class, counts, deadlines, job
-- ARGV id, start of the band, its width, step, key, bytes, ttl ms, deadline (ms since the epoch) or '',
--      model
-- Returns 0 when a worker was faster.
local from = tonumber(ARGV[2])
-- A class that nobody waited in begins anew: what was used before is forgotten.
local function begin()
  redis.call('DEL', KEYS[2])
  redis.call('HDEL', KEYS[3], 'clock:' .. ARGV[2])
  redis.call('HINCRBY', KEYS[3], 'beginning:' .. ARGV[2], 1)
end
local finish = 0
local waits
if redis.call('ZCARD', KEYS[1]) <= 1 then
  -- Nobody else waits, which is the usual case: what was not counted back (a job that an operator
  -- removed) is forgotten, too.
  local isNew = redis.call('HSET', KEYS[3], 'bytes', ARGV[6]) == 1
  if isNew then redis.call('PEXPIRE', KEYS[3], ARGV[7]) end
  waits = redis.call('ZADD', KEYS[1], 'XX', 'CH', ARGV[2], ARGV[1])
  begin()
else
  local bytes = redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[6])
  if bytes <= tonumber(ARGV[6]) then redis.call('PEXPIRE', KEYS[3], ARGV[7]) end
  local width = tonumber(ARGV[3])
  local head = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], string.format('%.0f', from + width - 1),
    'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] then
    local last = tonumber(redis.call('HGET', KEYS[2], ARGV[5]) or 0)
    local clock = tonumber(redis.call('HGET', KEYS[3], 'clock:' .. ARGV[2]) or 0)
    -- At the end of the band the order is that of the ids, which is that of their age.
    finish = math.min(math.max(head[2] - from, clock, last + ARGV[4]), width - 1)
  end
  local score = string.format('%.0f', from + finish)
  waits = redis.call('ZADD', KEYS[1], 'XX', 'CH', score, ARGV[1])
  if waits == 1 then
    -- For who looks for a job of this model and has looked at all that were there before.
    redis.call('HSET', KEYS[3], 'model:' .. ARGV[9], redis.call('HINCRBY', KEYS[3], 'placed', 1))
    -- For who takes it and has to put it back.
    if head[2] then
      local beginning = redis.call('HGET', KEYS[3], 'beginning:' .. ARGV[2]) or '0'
      redis.call('HSET', KEYS[5], 'place', score, 'beginning', beginning)
    else
      begin()
    end
    local isNew = redis.call('HSET', KEYS[2], ARGV[5], string.format('%.0f', finish)) == 1
    if isNew then redis.call('PEXPIRE', KEYS[2], ARGV[7]) end
  end
end
-- BullMQ's own hash of the job, which nothing else would end where the job is lost.
redis.call('PEXPIRE', KEYS[5], ARGV[7])
if waits == 1 and ARGV[8] ~= '' then
  redis.call('ZADD', KEYS[4], ARGV[8], ARGV[1])
  redis.call('PEXPIRE', KEYS[4], ARGV[7])
end
return waits
