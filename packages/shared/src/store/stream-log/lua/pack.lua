#!lua flags=allow-oom
-- Keeps the logs of ended requests in little memory: each as the one compressed value that DUMP makes of
-- it, beside what the request is, and with its end of life. Nothing follows a terminal line, so the value
-- stays true whatever comes; unpack.lua makes the log of it again for whoever reads it.
-- KEYS request, log for each of them (none: only who listens is looked at)
-- ARGV tag, bytes of the largest log, which is also what one call packs at most
-- Returns how many were packed, and how many were looked at, at least one: the others are left for another
-- call, and Redis serves its other clients in between. {-1, 0} while an ingress listens that could not read
-- them (of a version before this, in a rolling deploy)
local tag, largest = ARGV[1], tonumber(ARGV[2])
local inbox, reader = tag .. ':inbox:', tag .. ':log-reader:'
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
  local known = redis.pcall('HMGET', request, 'end', 'packed')
  local isOpen = not known.err and known[1] and not known[2]
  local newest = isOpen and redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local size = newest and redis.call('MEMORY', 'USAGE', log)
  -- While a large one is packed or unpacked, nobody else is served.
  if size and size <= largest then
    bytes = bytes + size
    if bytes > largest then return {packed, (i - 1) / 2} end
    -- By `last` a re-sent terminal write finds itself (append.lua), and readers see where the log ends.
    redis.call('HSET', request, 'packed', redis.call('DUMP', log),
      'last', newest[1] .. ' ' .. redis.sha1hex(newest[2][2]))
    -- Of one that has ended, nobody asks who ran it and who reads it.
    redis.call('HDEL', request, 'subs', 'callers', 'run', 'activation', 'worker', 'sealed_at')
    redis.call('UNLINK', log)
    packed = packed + 1
  end
end
return {packed, #KEYS / 2}
