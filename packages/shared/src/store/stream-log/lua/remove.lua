#!lua flags=allow-oom
-- Removes an ended request, with its log and its body; its Idempotency-Key is free again. Its nonce stays for a minute: the
-- run that its end has stopped may still report its tokens (amend.lua).
-- KEYS request, log, body
-- ARGV ms that the nonce stays
-- Returns 1, or 0 if there is no such request, or it has not ended.
local request = KEYS[1]
local staysMs = ARGV[1]
local known = redis.call('HMGET', request, '@request.end', '@request.once', '@request.nonce', '@request.meta')
-- Without its meta it is removed already.
if not known[1] or not known[4] then return 0 end
redis.call('UNLINK', unpack(KEYS))
if known[3] then
  redis.call('HSET', request, '@request.end', known[1], '@request.nonce', known[3])
  redis.call('PEXPIRE', request, staysMs)
end
-- The key can belong to another request by now.
if known[2] and redis.call('HGET', known[2], '@once.request') == request then redis.call('UNLINK', known[2]) end
return 1
