#!lua flags=allow-oom
-- Stores the ends of a run's attempts after another process has ended its request. Nothing may follow a
-- terminal line, so they are stored beside the log, and expire with it.
-- KEYS request
-- ARGV nonce, lines, and with a ledger: tag, id, facts, most ledger entries
-- Returns 1; or 0 if the request has not ended, is gone, or belonged to another run.
--- @include "add-to-ledger"
local request = KEYS[1]
local nonce, lines, tag, id, facts, most = unpack(ARGV)
local known = redis.call('HMGET', request, '@request.nonce', '@request.end')
if known[1] ~= nonce or not known[2] then return 0 end
if redis.call('HSET', request, '@request.late', lines) == 1 and facts then
  addToLedger(tag, most, id, request, '', facts)
end
return 1
