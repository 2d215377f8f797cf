-- Releases the lease if this reaper still holds it.
-- KEYS lease
-- ARGV reaper
local lease, reaper = KEYS[1], ARGV[1]
if redis.call('GET', lease) == reaper then return redis.call('DEL', lease) end
return 0
