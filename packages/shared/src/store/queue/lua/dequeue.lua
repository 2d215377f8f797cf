-- Takes a job out from among those that wait, as if it had never come: its key has the step back that it
-- took, so that the next one stands where this one would be followed. Those of the key behind it keep
-- their places: it has as many of them as it has taken steps, and gains nothing.
-- What BullMQ does to remove a job that has no parent and no children.
-- KEYS prioritized, finishes of its class, counts, deadlines, job
-- ARGV id, start of the band, its width, step, key, bytes
-- Returns 0 when it does not wait there.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
local place = score - ARGV[2]
if place >= 0 and place < tonumber(ARGV[3]) then
  -- Before the head's place where none of the key wait any more: the next one stands at the head.
  local last = (redis.call('HGET', KEYS[2], ARGV[5]) or 0) - ARGV[4]
  if last > 0 then
    redis.call('HSET', KEYS[2], ARGV[5], string.format('%.0f', last))
  else
    redis.call('HDEL', KEYS[2], ARGV[5])
  end
end
-- Of one that was taken before, and taken back, they were counted back then.
if tonumber(redis.call('HGET', KEYS[5], 'ats') or 0) == 0 then
  redis.call('HINCRBY', KEYS[3], 'bytes', '-' .. ARGV[6])
end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[5], KEYS[5] .. ':logs')
return 1
