#!lua flags=allow-oom
-- Removes an inbox from the readers of a request.
-- KEYS request
-- ARGV inbox
-- Returns 1, or 0 if the request has no readers.
local request, inbox = KEYS[1], ARGV[1]
local subs = redis.call('HGET', request, '@request.readers')
if not subs then return 0 end
local kept = {}
for other in string.gmatch(subs, '%S+') do
  if other ~= inbox then kept[#kept + 1] = other end
end
redis.call('HSET', request, '@request.readers', table.concat(kept, ' '))
return 1
