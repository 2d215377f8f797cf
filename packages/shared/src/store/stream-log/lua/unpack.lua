#!lua flags=allow-oom
-- Makes a log of its packed value again, for as long as somebody may read it. The value stays, so nothing
-- has to be packed again.
-- KEYS request, log   ARGV ms that the log is there
-- Returns 1, or 0 where the request has no packed log
local packed = redis.call('HGET', KEYS[1], 'packed')
if not packed then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then
  local life = math.min(tonumber(ARGV[1]), redis.call('PTTL', KEYS[1]))
  redis.call('RESTORE', KEYS[2], math.max(life, 1), packed)
end
return 1
