#!lua flags=allow-oom
-- Announces one process. It is written neither to the append-only file nor to replicas, because the next announcement
-- comes a few seconds later; its data is bounded, so a full Redis takes it, too.
-- KEYS processes, their leases, orders
-- ARGV process, announcement, ttl (ms), ms after which a process that is gone is forgotten with its order
-- Returns the order that stands for the process; false: none was sent, or it is lost.
local processes, leases, orders = unpack(KEYS)
local process, announcement, ttl, forgetMs = unpack(ARGV)
if redis.set_repl then redis.set_repl(redis.REPL_NONE) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', processes, process, announcement)
redis.call('ZADD', leases, string.format('%.0f', now + ttl), process)
local forgotten = redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.0f', now - forgetMs), 'LIMIT', 0, 100)
if #forgotten > 0 then
  redis.call('ZREM', leases, unpack(forgotten))
  redis.call('HDEL', processes, unpack(forgotten))
  redis.call('HDEL', orders, unpack(forgotten))
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2 * forgetMs) end
return redis.call('HGET', orders, process)
