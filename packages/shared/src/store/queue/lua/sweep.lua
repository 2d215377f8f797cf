-- Removes finished jobs that are past their retention, and renews the end of life of BullMQ's own keys. It does what
-- BullMQ does to remove a job that has no parent and no children.
-- KEYS completed, failed, then BullMQ's other keys of the queue
-- ARGV prefix of the jobs' keys, time before which they ended (ms since the epoch), most in one call, ttl (ms)
-- Returns how many jobs were removed.
local prefix, before, most, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local removed = 0
for set = 1, 2 do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[set], '-inf', before, 'LIMIT', 0, most - removed)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[set], id)
    redis.call('UNLINK', prefix .. id, prefix .. id .. '@bullKey.logs')
  end
  removed = removed + #ids
  if removed >= most then break end
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ttl) end
return removed
