#!lua flags=allow-oom
-- Checks whether logs can be packed here: whether the Redis user may call the commands that only pack.lua and
-- unpack.lua need (some ACLs exclude RESTORE, or MEMORY), and whether DUMP makes a smaller value (`rdbcompression` is
-- on).
-- KEYS trial: a key of its own
-- Returns 1 or 0.
local trial = KEYS[1]
local text = string.rep('millrace ', 100)
redis.call('SET', trial, text, 'PX', 1000)
local dump = redis.pcall('DUMP', trial)
local size = redis.pcall('MEMORY', 'USAGE', trial)
local channels = redis.pcall('PUBSUB', 'SHARDCHANNELS', trial)
redis.call('DEL', trial)
if type(size) ~= 'number' or channels.err then return 0 end
if type(dump) ~= 'string' or #dump > #text / 2 then return 0 end
local restored = redis.pcall('RESTORE', trial, 1000, dump)
local isSame = not restored.err and redis.call('GET', trial) == text
redis.call('DEL', trial)
return isSame and 1 or 0
