#!lua flags=allow-oom
-- A worker offers places: jobs may be sent to it, without its asking. Told again it replaces what was told before.
-- KEYS offers, dispatches
-- ARGV worker, number of the last job that it has received, free places (0: none are offered), jobs on their way to
--      it at most, ttl ms
-- Returns {number of the last job that it was sent, number of the last one that it may be sent}
local offers, dispatches = KEYS[1], KEYS[2]
local worker, received, free, window, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Redis may have lost what it knew.
local sent = math.max(received, tonumber(redis.call('HGET', dispatches, 'sent:' .. worker)) or 0)
local left = free - (sent - received)
local last = math.max(sent, received + math.min(free, window))
if left > 0 and last > sent then
  redis.call('ZADD', offers, left, worker)
else
  last = sent
  redis.call('ZREM', offers, worker)
end
redis.call('HSET', dispatches, 'sent:' .. worker, string.format('%.0f', sent), 'last:' .. worker, string.format('%.0f', last))
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < ttl / 2 then redis.call('PEXPIRE', key, ttl) end
end
return {sent, last}
