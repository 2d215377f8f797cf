-- Ends an active job as BullMQ's moveToFinished does, for a job that has no parent, no children and no
-- deduplication, in a queue without metrics; `test/system/job-end.test.ts` compares the two. Two
-- things cost less here: the command that adds the new event trims old ones, and only finished jobs above `most` are
-- removed, a few at a time. sweep.lua removes those past their age.
-- job: id, token, set (`completed` or `failed`), value (its return value as JSON, or why it failed), trace
--      (JSON, of one that failed)
-- book: prefix of the queue's keys, now (ms since the epoch), most finished jobs of a kind, most events
-- Returns whether the job has ended, now or before. A job that the token does not hold stays as it is.
local function endJob(job, book)
  local call, try = redis.call, redis.pcall
  local prefix, id = book.prefix, job.id
  local key = prefix .. id
  local lock = key .. '@bullKey.lock'
  if call('GET', lock) ~= job.token then
    -- The same write succeeded before, or the job's next holder was faster.
    return try('HEXISTS', key, '@bullJob.finishedOn') == 1
  end
  local finished, events, stalled = prefix .. job.set, prefix .. '@bullKey.events', prefix .. '@bullKey.stalled'
  -- Redis does not roll back a script that fails: a damaged key has to fail it here, before its first write.
  local known = try('HMGET', key, '@bullJob.attemptsStarted', '@bullJob.attemptsMade')
  local attempts = not known.err and known[1] and tonumber(known[2] or 0)
  if not attempts then return false end
  local others = call('LLEN', prefix .. '@bullKey.wait') + call('ZCARD', prefix .. '@bullKey.prioritized')
  call('ZCARD', finished)
  call('XLEN', events)
  call('SCARD', stalled)
  if call('LREM', prefix .. '@bullKey.active', -1, id) == 0 then return false end
  call('DEL', lock)
  call('SREM', stalled, id)
  attempts = attempts + 1
  local field = '@bullJob.returnValue'
  if job.set == 'failed' then
    field = '@bullJob.failedReason'
    call('HSET', key, field, job.value, '@bullJob.stackTrace', job.trace,
      '@bullJob.finishedOn', book.now, '@bullJob.attemptsMade', attempts)
    call('HDEL', key, '@bullJob.deferredFailure')
  else
    call('HSET', key, field, job.value, '@bullJob.finishedOn', book.now, '@bullJob.attemptsMade', attempts)
  end
  call('ZADD', finished, book.now, id)
  local excess = call('ZCARD', finished) - book.most
  if excess > 0 then
    local oldest = call('ZPOPMIN', finished, math.min(excess, 10))
    for i = 1, #oldest, 2 do
      call('UNLINK', prefix .. oldest[i], prefix .. oldest[i] .. '@bullKey.logs')
    end
  end
  call('XADD', events, 'MAXLEN', '~', book.events, '*', 'event', job.set, 'jobId', id,
    field, job.value, 'prev', 'active')
  if job.set == 'failed' then
    call('XADD', events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', attempts)
  end
  if others == 0 and call('LLEN', prefix .. '@bullKey.active') == 0 then
    call('XADD', events, '*', 'event', 'drained')
  end
  return true
end
