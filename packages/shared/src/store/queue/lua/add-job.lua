-- Does what BullMQ does to add a job with a priority that has no parent, no delay and no deduplication. Only the score is
-- ours: BullMQ's counter of priorities (`pc`) counts only jobs to which BullMQ gives a score. The fields `place` and
-- `beginning` are ours too. Without a score the job does not wait: the caller makes it active at once.
local function addJob(queue, id, job, score, beginning)
  local meta = redis.call('HMGET', queue.meta,
    '@bullMeta.paused', '@bullMeta.concurrency', '@bullMeta.maxLenEvents')
  local most = meta[3]
  if not most then
    most = '10000'
    redis.call('HSET', queue.meta, '@bullMeta.maxLenEvents', most)
  end
  redis.call('INCR', queue.id)
  local fields = {'@bullJob.name', job.model, '@bullJob.data', job.data, '@bullJob.options', job.opts,
    '@bullJob.timestamp', job.timestamp, '@bullJob.delay', '0', '@bullJob.priority', job.priority}
  if beginning then
    fields[#fields + 1] = '@job.place'
    fields[#fields + 1] = score
    fields[#fields + 1] = '@job.beginning'
    fields[#fields + 1] = beginning
  end
  redis.call('HSET', queue.job, unpack(fields))
  redis.call('XADD', queue.events, '*', 'event', 'added', 'jobId', id, 'name', job.model)
  if score then redis.call('ZADD', queue.prioritized, score, id) end
  local isMaxed = score and meta[2] and redis.call('LLEN', queue.active) >= tonumber(meta[2])
  -- The marker wakes a worker that sleeps.
  if score and not meta[1] and not isMaxed then redis.call('ZADD', queue.marker, 0, '0') end
  redis.call('XADD', queue.events, 'MAXLEN', '~', most, '*', 'event', 'waiting', 'jobId', id)
end
