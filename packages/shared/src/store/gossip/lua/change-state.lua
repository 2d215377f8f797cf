#!lua flags=allow-oom
-- Sets or clears one fact, unless it is no longer the one that was seen. A value is `<version> <text>`.
-- KEYS facts   ARGV field, seen version or '', new version or '' to clear, text, ttl ms, most facts
-- Returns {'set'}, {'changed', the value or false} or {'full'}
local value = redis.call('HGET', KEYS[1], ARGV[1])
local version = value and string.match(value, '^%S+') or ''
-- The same command, sent again after a lost connection.
if version == ARGV[3] then return {'set'} end
if version ~= ARGV[2] then return {'changed', value} end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {'set'}
end
if not value and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return {'full'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'set'}
