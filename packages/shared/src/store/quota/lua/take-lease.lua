#!lua flags=allow-oom
-- Takes a lease unless `limit` of them are held. An id that holds one already keeps it.
-- KEYS leases: a sorted set, by the end of each lease (ms since the epoch)
-- ARGV id, limit, ttl (ms)
-- Returns {1 or 0, leases held now}.
local leases = KEYS[1]
local id, limit, ttl = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
local held = redis.call('ZCARD', leases)
if not redis.call('ZSCORE', leases, id) then
  if held >= tonumber(limit) then return {0, held} end
  held = held + 1
end
redis.call('ZADD', leases, now + ttl, id)
redis.call('PEXPIRE', leases, ttl)
return {1, held}
