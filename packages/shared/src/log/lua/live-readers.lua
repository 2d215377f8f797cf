-- KEYS request   ARGV tag   Returns the number of its inboxes that an ingress listens on
local live = 0
for inbox in string.gmatch(redis.call('HGET', KEYS[1], 'subs') or '', '%S+') do
  live = live + redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[1] .. ':inbox:' .. inbox)[2]
end
return live
