-- Returns how many of a request's inboxes have a subscribed ingress; 1 if only a caller is left that never leaves.
-- KEYS request
-- ARGV tag
local request, tag = KEYS[1], ARGV[1]
local live = 0
local known = redis.call('HMGET', request, '@request.readers', '@request.callers')
for inbox in string.gmatch(known[1] or '', '%S+') do
  live = live + redis.call('PUBSUB', 'SHARDNUMSUB', tag .. '@key.inbox' .. inbox)[2]
end
if live == 0 and string.find(' ' .. (known[2] or ''), ' /', 1, true) then return 1 end
return live
