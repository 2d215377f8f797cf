#!lua flags=allow-oom
-- KEYS request   ARGV inbox
local subs = redis.call('HGET', KEYS[1], 'subs')
if not subs then return 0 end
local kept = {}
for inbox in string.gmatch(subs, '%S+') do
  if inbox ~= ARGV[1] then kept[#kept + 1] = inbox end
end
redis.call('HSET', KEYS[1], 'subs', table.concat(kept, ' '))
return 1
