-- Computes the position of a new job in the fair queue. Its class is a band of scores, in which the job gets a
-- virtual finish time: one step after the last job of its key, and not before the head of the band. So keys take
-- turns, and a key that comes late waits for a round, not for a backlog.
-- The finish time of a class's first job is not recorded: its key gets one job more in its first round.
-- While the head of a class stays because workers skip its model, the clock of the class advances without it.
-- Returns the score, and if others of its class wait the number of the class's beginning, which put-back.lua needs.
-- It does not touch the job itself.
local function enqueue(prioritized, finishes, counts, job)
  local from = tonumber(job.from)
  -- An empty class begins anew, and forgets its finish times.
  local function begin()
    redis.call('DEL', finishes)
    redis.call('HDEL', counts, '@counts.clock' .. job.from)
    redis.call('HINCRBY', counts, '@counts.beginning' .. job.from, 1)
  end
  if redis.call('ZCARD', prioritized) == 0 then
    -- No other job waits, which is the usual case. Setting `bytes` also discards bytes that were never subtracted (of
    -- a job that an operator removed).
    local isNew = redis.call('HSET', counts, '@counts.bytes', job.bytes) == 1
    if isNew then redis.call('PEXPIRE', counts, job.ttl) end
    begin()
    return job.from
  end
  local last = string.format('%.0f', from + job.width - 1)
  local head = redis.call('ZRANGEBYSCORE', prioritized, job.from, last, 'WITHSCORES', 'LIMIT', 0, 1)
  local finish, beginning = 0, nil
  if head[2] then
    local own = tonumber(redis.call('HGET', finishes, job.key) or 0)
    local known = redis.call('HMGET', counts, '@counts.clock' .. job.from, '@counts.beginning' .. job.from)
    -- At the end of the band all scores are equal, and Redis orders jobs by id, which means by age.
    finish = math.min(math.max(head[2] - from, tonumber(known[1] or 0), own + job.step), job.width - 1)
    beginning = known[2] or '0'
  else
    begin()
  end
  -- This number shows pick.lua that a job of this model was added after its last full scan.
  redis.call('HSET', counts, '@counts.model' .. job.model, redis.call('HINCRBY', counts, '@counts.placed', 1))
  local isNew = redis.call('HSET', finishes, job.key, string.format('%.0f', finish)) == 1
  if isNew then redis.call('PEXPIRE', finishes, job.ttl) end
  -- This comes after every command that can fail at a damaged key: submit.lua subtracts the bytes of a job that has its place.
  local bytes = redis.call('HINCRBY', counts, '@counts.bytes', job.bytes)
  if bytes <= tonumber(job.bytes) then redis.call('PEXPIRE', counts, job.ttl) end
  return string.format('%.0f', from + finish), beginning
end
