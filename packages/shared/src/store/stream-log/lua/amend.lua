#!lua flags=allow-oom
-- Keeps what the run of a request that was ended from outside knows of its attempts. Nothing follows a
-- terminal line, so it stands beside the log, and lives as long as that.
-- KEYS request   ARGV nonce, lines
-- Returns 1, or 0: the request has not ended, is gone, or another run had it
local known = redis.call('HMGET', KEYS[1], 'nonce', 'end')
if known[1] ~= ARGV[1] or not known[2] then return 0 end
redis.call('HSET', KEYS[1], 'late', ARGV[2])
return 1
