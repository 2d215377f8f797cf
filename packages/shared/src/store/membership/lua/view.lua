#!lua flags=allow-oom
-- Shows how every worker on the list stands, and whether anything would be lost by the death of one.
-- KEYS lease, beats, the queue's lists: active, wait, prioritized
-- ARGV reaper, lease ms, renewed with less left than that (ms), whether to lead (1 or 0), channel prefix
-- Returns {leads, jobs that are open, name, beat, subscribers, name, …}
local lease, beats, active, wait, prioritized = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local reaper, lease_ms, renew_ms, wants, channel = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local leads = 0
if wants == '1' then
  local holder = redis.call('GET', lease)
  if not holder or holder == reaper then
    leads = 1
    -- Every write goes to the append-only file, and a look comes a hundred times a second.
    if not holder or redis.call('PTTL', lease) < renew_ms then
      redis.call('SET', lease, reaper, 'PX', lease_ms)
    end
  end
end
local jobs = redis.call('LLEN', active) + redis.call('LLEN', wait) + redis.call('ZCARD', prioritized)
local reply = {leads, jobs}
local workers = redis.call('HGETALL', beats)
for i = 1, #workers, 2 do
  reply[#reply + 1] = workers[i]
  reply[#reply + 1] = workers[i + 1]
  reply[#reply + 1] = redis.call('PUBSUB', 'SHARDNUMSUB', channel .. workers[i])[2]
end
return reply
