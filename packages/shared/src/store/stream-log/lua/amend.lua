#!lua flags=allow-oom
-- Stores the ledger entries of a run's attempts after another process has ended its request. Nothing may follow a
-- terminal line, so they are stored beside the log, and expire with it.
-- KEYS request
-- ARGV nonce, lines
-- Returns 1; or 0 if the request has not ended, is gone, or belonged to another run.
local request = KEYS[1]
local nonce, lines = ARGV[1], ARGV[2]
local known = redis.call('HMGET', request, '@request.nonce', '@request.end')
if known[1] ~= nonce or not known[2] then return 0 end
redis.call('HSET', request, '@request.late', lines)
return 1
