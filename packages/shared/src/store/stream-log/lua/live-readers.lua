-- KEYS request   ARGV tag
-- Returns the number of its inboxes that an ingress listens on; 1 for a caller that stays for ever
local live = 0
local known = redis.call('HMGET', KEYS[1], 'subs', 'callers')
for inbox in string.gmatch(known[1] or '', '%S+') do
  live = live + redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[1] .. ':inbox:' .. inbox)[2]
end
if live == 0 and string.find(' ' .. (known[2] or ''), ' /', 1, true) then return 1 end
return live
