-- Gives the lease back, if it is still the reaper's.   KEYS lease   ARGV reaper
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
