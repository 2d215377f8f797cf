#!lua flags=allow-oom
-- Takes a lease, or renews it for its owner.
-- KEYS lease
-- ARGV owner, ttl (ms)
-- Returns 1 if the owner holds the lease now, else 0.
local lease = KEYS[1]
local owner, ttl = ARGV[1], ARGV[2]
local holder = redis.call('GET', lease)
if holder and holder ~= owner then return 0 end
redis.call('SET', lease, owner, 'PX', ttl)
return 1
