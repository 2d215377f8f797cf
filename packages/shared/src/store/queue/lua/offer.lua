#!lua flags=allow-oom
-- A worker offers free slots: ingresses may send it jobs without its asking. A new offer replaces the one before.
-- KEYS offers, dispatches
-- ARGV worker, number of the last job that it has received, free slots (0 withdraws the offer), most jobs in flight, ttl (ms)
-- Returns {number of the last job sent to the worker, number of the last one that it may be sent}.
local offers, dispatches = KEYS[1], KEYS[2]
local worker = ARGV[1]
local received, free, maxInFlight, ttl = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- A failover may have lost the number that Redis knew.
local sent = math.max(received, tonumber(redis.call('HGET', dispatches, 'sent:' .. worker)) or 0)
local left = free - (sent - received)
local last = math.max(sent, received + math.min(free, maxInFlight))
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
