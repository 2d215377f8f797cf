#!lua flags=allow-oom
-- Sets or clears one shared state, unless its version differs from the one that the caller has seen.
-- A value is `<version> <text>`.
-- KEYS states
-- ARGV field, seen version or '', new version or '' to clear it, text, ttl (ms), most states
-- Returns {'set'}, {'changed', the present value or false} or {'full'}.
local states = KEYS[1]
local field, seen, newVersion, text, ttl, most = unpack(ARGV)
local value = redis.call('HGET', states, field)
local version = value and string.match(value, '^%S+') or ''
-- The client sent the same command again after a lost connection.
if version == newVersion then return {'set'} end
if version ~= seen then return {'changed', value} end
if newVersion == '' then
  redis.call('HDEL', states, field)
  return {'set'}
end
if not value and redis.call('HLEN', states) >= tonumber(most) then return {'full'} end
redis.call('HSET', states, field, newVersion .. ' ' .. text)
redis.call('PEXPIRE', states, ttl)
return {'set'}
