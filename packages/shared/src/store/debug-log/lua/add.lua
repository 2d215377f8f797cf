-- Adds a record to the stream of the debug log, unless too many wait.
-- KEYS stream, state
-- ARGV id of the request, record (framed, gzip, base64), most entries, records that this process has dropped since its last call
-- Returns 1 if it was added, else 0.
local stream, state = KEYS[1], KEYS[2]
local request, record, most, dropped = unpack(ARGV)
local isFull = redis.call('XLEN', stream) >= tonumber(most)
local lost = tonumber(dropped) + (isFull and 1 or 0)
if lost > 0 then redis.call('HINCRBY', state, '@debug.dropped', lost) end
if isFull then return 0 end
redis.call('XADD', stream, '*', '@debug.request', request, '@debug.record', record)
redis.call('PEXPIRE', stream, 86400000)
return 1
