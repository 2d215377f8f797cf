#!lua flags=allow-oom
-- Gives up the ownership of a request for one of its callers: that caller is there until the request's end,
-- so that neither its own leaving nor the death of its ingress ends it.
-- KEYS request   ARGV the caller as `inbox/token`, its token
-- Returns 'detached', 'ended' or 'gone'
local known = redis.call('HMGET', KEYS[1], 'meta', 'end', 'callers')
if not known[1] then return 'gone' end
if known[2] then return 'ended' end
local caller, stays = ARGV[1], '/' .. ARGV[2]
local kept = { stays }
for other in string.gmatch(known[3] or '', '%S+') do
  if other ~= caller and other ~= stays then kept[#kept + 1] = other end
end
redis.call('HSET', KEYS[1], 'callers', table.concat(kept, ' '))
return 'detached'
