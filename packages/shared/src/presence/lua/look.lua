#!lua flags=allow-oom
-- Takes or renews the lease, and tells of every worker on the list how it stands.
-- KEYS lease, beats   ARGV reaper, lease ms, channel prefix
-- Returns {leads, name, beat, subscribers, name, …}
local holder = redis.call('GET', KEYS[1])
local leads = 0
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  leads = 1
end
local reply = {leads}
local beats = redis.call('HGETALL', KEYS[2])
for i = 1, #beats, 2 do
  reply[#reply + 1] = beats[i]
  reply[#reply + 1] = beats[i + 1]
  reply[#reply + 1] = redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[3] .. beats[i])[2]
end
return reply
