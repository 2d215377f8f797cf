#!lua flags=allow-oom
-- Takes a log over for one run.
-- KEYS request, log, body
-- ARGV activation, nonce, worker, ttl (ms), seal (JSON), most entries and bytes of the past
-- Returns what sealLog returns.
--- @include "seal-log"
local request, log, body = unpack(KEYS)
local activation, nonce, worker, ttl, seal, packs, bytes = unpack(ARGV)
return sealLog(request, log, body, {
  activation = activation, nonce = nonce, worker = worker, seal = seal, ttl = ttl, packs = packs, bytes = bytes,
})
