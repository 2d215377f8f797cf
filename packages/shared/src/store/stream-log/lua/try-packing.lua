#!lua flags=allow-oom
-- Whether logs can be packed here: the user may do what pack.lua and unpack.lua do beyond the other scripts
-- (some rights leave out RESTORE, or MEMORY), and what DUMP makes is smaller (`rdbcompression` is on).
-- KEYS a key that nobody else has
-- Returns 1 or 0
local text = string.rep('millrace ', 100)
redis.call('SET', KEYS[1], text, 'PX', 1000)
local dump = redis.pcall('DUMP', KEYS[1])
local size = redis.pcall('MEMORY', 'USAGE', KEYS[1])
local channels = redis.pcall('PUBSUB', 'SHARDCHANNELS', KEYS[1])
redis.call('DEL', KEYS[1])
if type(size) ~= 'number' or channels.err then return 0 end
if type(dump) ~= 'string' or #dump > #text / 2 then return 0 end
local restored = redis.pcall('RESTORE', KEYS[1], 1000, dump)
local isSame = not restored.err and redis.call('GET', KEYS[1]) == text
redis.call('DEL', KEYS[1])
return isSame and 1 or 0
