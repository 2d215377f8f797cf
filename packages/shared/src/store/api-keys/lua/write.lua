#!lua flags=allow-oom
-- Writes or removes one API key, unless it differs from what the caller has seen, and announces the change. A key can be
-- revoked also while Redis is out of memory.
-- KEYS keys, channel
-- ARGV field of the key, the record that was seen or '', the new record or '' to remove it, most keys
-- Returns 'written', 'changed' or 'full'.
local keys, channel = KEYS[1], KEYS[2]
local field, seen, record, most = unpack(ARGV)
local present = redis.call('HGET', keys, field) or ''
-- The client sent the same command again after a lost connection.
if present == record then return 'written' end
if present ~= seen then return 'changed' end
-- One field is the version.
if present == '' and redis.call('HLEN', keys) > tonumber(most) then return 'full' end
if record == '' then
  redis.call('HDEL', keys, field)
else
  redis.call('HSET', keys, field, record)
end
-- From the clock, so that a failover that loses writes cannot lead to an old version with other keys.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('HGET', keys, '@apiKeys.version') or 0)
local version = string.format('%.0f', math.max(last + 1, now))
redis.call('HSET', keys, '@apiKeys.version', version)
redis.call('SPUBLISH', channel, version)
return 'written'
