#!lua flags=allow-oom
-- Returns the state of every registered worker, and how many jobs a worker's death would concern.
-- KEYS lease, beats, and of the shard's queue: active, wait, prioritized
-- ARGV reaper, ttl of the lease (ms), remaining ms below which the lease is renewed, 1 to lead or 0, prefix of the workers'
--      channels
-- Returns {1 if this reaper leads or 0, open jobs, name, beat, subscribers, name, …}.
local lease, beats, active, wait, prioritized = unpack(KEYS)
local reaper, leaseMs, renewMs, wantsToLead, channels = unpack(ARGV)
local leads = 0
if wantsToLead == '1' then
  local holder = redis.call('GET', lease)
  if not holder or holder == reaper then
    leads = 1
    -- Every write goes to the append-only file, and the reaper calls this a hundred times a second.
    if not holder or redis.call('PTTL', lease) < tonumber(renewMs) then
      redis.call('SET', lease, reaper, 'PX', leaseMs)
    end
  end
end
local jobs = redis.call('LLEN', active) + redis.call('LLEN', wait) + redis.call('ZCARD', prioritized)
local reply = {leads, jobs}
local workers = redis.call('HGETALL', beats)
for i = 1, #workers, 2 do
  reply[#reply + 1] = workers[i]
  reply[#reply + 1] = workers[i + 1]
  reply[#reply + 1] = redis.call('PUBSUB', 'SHARDNUMSUB', channels .. workers[i])[2]
end
return reply
