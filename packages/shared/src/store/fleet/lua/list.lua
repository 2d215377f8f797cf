-- Lists the processes whose lease has not run out.
-- KEYS processes, their leases
-- Returns {announcement, …}.
local processes, leases = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local names = redis.call('ZRANGEBYSCORE', leases, now, '+inf', 'LIMIT', 0, 1000)
if #names == 0 then return {} end
local found = {}
for _, announcement in ipairs(redis.call('HMGET', processes, unpack(names))) do
  if announcement then found[#found + 1] = announcement end
end
return found
