-- Does what BullMQ does to a job that a worker takes, once the job is in the list of active jobs.
-- job: its key   events: BullMQ's stream of the queue's events   now: the worker's clock (ms)
-- Returns how often the job was activated, this activation included.
local function activateJob(job, id, events, worker, token, lockMs, now)
  redis.call('SET', job .. '@bullKey.lock', token, 'PX', lockMs)
  redis.call('XADD', events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
  redis.call('HSET', job, '@bullJob.processedOn', now, '@bullJob.processedBy', worker)
  return redis.call('HINCRBY', job, '@bullJob.attemptsStarted', 1)
end
