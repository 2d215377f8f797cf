#!lua flags=allow-oom
-- Removes an ended request, with its log and its body; its Idempotency-Key is free again.
-- KEYS request, log, body
-- Returns 1, or 0 if there is no such request, or it has not ended.
local known = redis.call('HMGET', KEYS[1], '@request.end', '@request.once')
if not known[1] then return 0 end
redis.call('UNLINK', unpack(KEYS))
-- The key can belong to another request by now.
if known[2] and redis.call('HGET', known[2], '@once.request') == KEYS[1] then redis.call('UNLINK', known[2]) end
return 1
