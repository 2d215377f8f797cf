#!lua flags=allow-oom
-- Those that are still held live on.   KEYS sorted set   ARGV ttl ms, id, …   Returns the ids that are not
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = {}
for i = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) > now then
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
