#!lua flags=allow-oom
-- Packs the logs of ended requests: each becomes the compressed value that DUMP makes of it, in the request's hash, with
-- the same end of life. Nothing follows a terminal line, so the value stays true; unpack.lua makes a log of it again for
-- readers.
-- KEYS request, log of each request (without any, the script only checks the listening ingresses)
-- ARGV tag, bytes of the largest log, which are also the most bytes that one call packs
-- Returns {packed, handled}: `handled` is at least one; the caller calls again for the others, and Redis serves its other
-- clients in between. {-1, 0} while an ingress listens that cannot read packed logs (an older version, in a rolling deploy).
local tag, largest = ARGV[1], tonumber(ARGV[2])
local inbox, reader = tag .. '@key.inbox', tag .. '@key.logReader'
local canRead = {}
for _, channel in ipairs(redis.call('PUBSUB', 'SHARDCHANNELS', reader .. '*')) do
  canRead[string.sub(channel, #reader + 1)] = true
end
for _, channel in ipairs(redis.call('PUBSUB', 'SHARDCHANNELS', inbox .. '*')) do
  if not canRead[string.sub(channel, #inbox + 1)] then return {-1, 0} end
end
local packed, bytes = 0, 0
for i = 1, #KEYS, 2 do
  local request, log = KEYS[i], KEYS[i + 1]
  local known = redis.pcall('HMGET', request, '@request.end', '@request.packed')
  local isOpen = not known.err and known[1] and not known[2]
  local newest = isOpen and redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local size = newest and redis.call('MEMORY', 'USAGE', log)
  -- While Redis packs or unpacks a large log, it serves no other client.
  if size and size <= largest then
    bytes = bytes + size
    if bytes > largest then return {packed, (i - 1) / 2} end
    -- By `last` append.lua recognises a terminal write that is sent again, and readers see where the log ends.
    redis.call('HSET', request, '@request.packed', redis.call('DUMP', log),
      '@request.last', newest[1] .. ' ' .. redis.sha1hex(newest[2][2]))
    -- No component reads these fields of an ended request.
    redis.call('HDEL', request, '@request.readers', '@request.callers', '@request.run', '@request.activation',
      '@request.worker', '@request.sealedAt')
    redis.call('UNLINK', log)
    packed = packed + 1
  end
end
return {packed, #KEYS / 2}
