#!lua flags=allow-oom
-- Restores a log from its packed value, for readers. The value stays, so the log need not be packed a second time.
-- KEYS request, log
-- ARGV ms for which the log is readable
-- Returns 1, or 0 if the request has no packed log.
local request, log = KEYS[1], KEYS[2]
local readableMs = tonumber(ARGV[1])
local packed = redis.call('HGET', request, '@request.packed')
if not packed then return 0 end
if redis.call('EXISTS', log) == 0 then
  local life = math.min(readableMs, redis.call('PTTL', request))
  redis.call('RESTORE', log, math.max(life, 1), packed)
end
return 1
