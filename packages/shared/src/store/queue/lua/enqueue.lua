-- Where a job stands that comes to those that wait. Its class is a band of scores. In there it gets a
-- virtual finish time: one step behind the last job of its key, and not before the head of the band. So
-- keys are served in turn, and one that comes late waits for a round, not for a backlog.
-- The first of a class is not written down: its key has one job more in its first round.
-- Where the head stays because a worker avoids its model, the class's clock goes on without it.
-- Returns the score, and where others of its class wait the number of the class's beginning, for whoever
-- takes the job and has to put it back. The job itself is not touched.
local function enqueue(prioritized, finishes, counts, job)
  local from = tonumber(job.from)
  -- A class that nobody waited in begins anew: what was used before is forgotten.
  local function begin()
    redis.call('DEL', finishes)
    redis.call('HDEL', counts, 'clock:' .. job.from)
    redis.call('HINCRBY', counts, 'beginning:' .. job.from, 1)
  end
  if redis.call('ZCARD', prioritized) == 0 then
    -- Nobody else waits, which is the usual case: what was not counted back (a job that an operator
    -- removed) is forgotten, too.
    local isNew = redis.call('HSET', counts, 'bytes', job.bytes) == 1
    if isNew then redis.call('PEXPIRE', counts, job.ttl) end
    begin()
    return job.from
  end
  local last = string.format('%.0f', from + job.width - 1)
  local head = redis.call('ZRANGEBYSCORE', prioritized, job.from, last, 'WITHSCORES', 'LIMIT', 0, 1)
  local finish, beginning = 0, nil
  if head[2] then
    local own = tonumber(redis.call('HGET', finishes, job.key) or 0)
    local known = redis.call('HMGET', counts, 'clock:' .. job.from, 'beginning:' .. job.from)
    -- At the end of the band the order is that of the ids, which is that of their age.
    finish = math.min(math.max(head[2] - from, tonumber(known[1] or 0), own + job.step), job.width - 1)
    beginning = known[2] or '0'
  else
    begin()
  end
  -- For who looks for a job of this model and has looked at all that were there before.
  redis.call('HSET', counts, 'model:' .. job.model, redis.call('HINCRBY', counts, 'placed', 1))
  local isNew = redis.call('HSET', finishes, job.key, string.format('%.0f', finish)) == 1
  if isNew then redis.call('PEXPIRE', finishes, job.ttl) end
  -- Behind all that can fail at a damaged key: submit.lua gives back what is counted of a job that has its place.
  local bytes = redis.call('HINCRBY', counts, 'bytes', job.bytes)
  if bytes <= tonumber(job.bytes) then redis.call('PEXPIRE', counts, job.ttl) end
  return string.format('%.0f', from + finish), beginning
end
