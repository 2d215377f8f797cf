-- Releases a lease if this owner still holds it.
-- KEYS lease
-- ARGV owner
local lease, owner = KEYS[1], ARGV[1]
if redis.call('GET', lease) == owner then return redis.call('DEL', lease) end
return 0
