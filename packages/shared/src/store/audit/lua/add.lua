#!lua flags=allow-oom
-- Adds an entry to the audit stream, from which the control plane takes it into the database.
-- KEYS stream, state
-- ARGV entry as JSON, most entries, value of the config's state or ''
-- An entry with such a value is added only if the value differs from the one of the entry before: every process of the fleet
-- sees a change of the config, and the first one records it.
-- Returns 'added', 'known' or 'full'.
local stream, state = KEYS[1], KEYS[2]
local entry, most, config = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if config ~= '' and redis.call('HGET', state, '@audit.config') == config then return 'known' end
if redis.call('XLEN', stream) >= most then
  redis.call('HINCRBY', state, '@audit.dropped', 1)
  return 'full'
end
redis.call('XADD', stream, '*', '@audit.entry', entry)
if config ~= '' then redis.call('HSET', state, '@audit.config', config) end
return 'added'
