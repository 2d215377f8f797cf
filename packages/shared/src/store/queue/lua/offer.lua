#!lua flags=allow-oom
-- A worker offers free slots: ingresses may send it jobs without a fetch. A new offer replaces the previous one.
-- KEYS offers, dispatches
-- ARGV worker, number of the last job that it has received, free slots (0 withdraws the offer), most jobs in
--      flight, ttl (ms), runs that it has
-- Returns {number of the last job that it was sent, number of the last one that it may be sent}
local offers, dispatches = KEYS[1], KEYS[2]
local worker, received, free = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local window, ttl, runs = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
-- A failover may have lost the number that Redis knew.
local sent = math.max(received, tonumber(redis.call('HGET', dispatches, '@dispatches.sent' .. worker)) or 0)
local last = math.max(sent, received + math.min(free, window))
if last > sent then
  -- The worker with the fewest runs has the highest score. Jobs on their way to it count.
  redis.call('ZADD', offers, received - sent - runs, worker)
else
  last = sent
  redis.call('ZREM', offers, worker)
end
redis.call('HSET', dispatches, '@dispatches.sent' .. worker, string.format('%.0f', sent),
  '@dispatches.last' .. worker, string.format('%.0f', last))
-- Both together: a worker that is in only one of them would assume that its offer is valid.
if redis.call('PTTL', offers) < ttl / 2 or redis.call('PTTL', dispatches) < ttl / 2 then
  redis.call('PEXPIRE', offers, ttl)
  redis.call('PEXPIRE', dispatches, ttl)
end
return {sent, last}
