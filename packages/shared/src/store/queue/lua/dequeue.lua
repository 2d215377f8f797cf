-- Removes a waiting job as if it had never been added: its key gets back the step that the job took, so the key's
-- next job takes this one's position. The key's later jobs keep their positions: the key has as many as it has taken
-- steps, and gains nothing. Otherwise it does what BullMQ does to remove a job that has no parent and no children.
-- KEYS prioritized, finishes of its class, counts, deadlines, job
-- ARGV id, start of the class's band, width of a band, step, key, bytes
-- Returns 0 if the job does not wait there.
local prioritized, finishes, counts, deadlines, job = unpack(KEYS)
local id, from, width, step, key, bytes = unpack(ARGV)
local score = redis.call('ZSCORE', prioritized, id)
if not score then return 0 end
redis.call('ZREM', prioritized, id)
local place = score - from
if place >= 0 and place < tonumber(width) then
  -- The result lies before the head of the class if none of the key's jobs wait: its next job goes to the head.
  local last = (redis.call('HGET', finishes, key) or 0) - step
  if last > 0 then
    redis.call('HSET', finishes, key, string.format('%.0f', last))
  else
    redis.call('HDEL', finishes, key)
  end
end
-- The bytes of a job that was active before were subtracted when a worker took it.
if tonumber(redis.call('HGET', job, '@bullJob.attemptsStarted') or 0) == 0 then
  redis.call('HINCRBY', counts, '@counts.bytes', '-' .. bytes)
end
redis.call('ZREM', deadlines, id)
redis.call('DEL', job, job .. '@bullKey.logs')
return 1
