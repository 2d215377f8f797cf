#!lua flags=allow-oom
-- Detaches a request from one of its callers: that caller counts as present until the request ends, so that neither
-- its leaving nor the death of its ingress ends the request.
-- KEYS request
-- ARGV caller as `inbox/token`, token of the caller
-- Returns 'detached', 'ended' or 'gone'.
local request = KEYS[1]
local caller, token = ARGV[1], ARGV[2]
local known = redis.call('HMGET', request, '@request.meta', '@request.end', '@request.callers')
if not known[1] then return 'gone' end
if known[2] then return 'ended' end
local permanent = '/' .. token
local kept = { permanent }
for other in string.gmatch(known[3] or '', '%S+') do
  if other ~= caller and other ~= permanent then kept[#kept + 1] = other end
end
redis.call('HSET', request, '@request.callers', table.concat(kept, ' '))
return 'detached'
