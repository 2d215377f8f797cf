#!lua flags=allow-oom
-- Renews the leases that are still held.
-- KEYS leases: a sorted set, by the end of each lease (ms since the epoch)
-- ARGV ttl (ms), then ids
-- Returns the ids that are no longer held.
local leases = KEYS[1]
local ttl = ARGV[1]
local firstId = 2
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = {}
for i = firstId, #ARGV do
  local id = ARGV[i]
  local ends = redis.call('ZSCORE', leases, id)
  if ends and tonumber(ends) > now then
    redis.call('ZADD', leases, now + ttl, id)
    redis.call('PEXPIRE', leases, ttl)
  else
    lost[#lost + 1] = id
  end
end
return lost
