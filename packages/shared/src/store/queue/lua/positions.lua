-- Returns for each id how many jobs wait before it, from 0; -1 for a job that does not wait.
-- KEYS prioritized, wait
-- ARGV ids
local prioritized, wait = KEYS[1], KEYS[2]
local inList = redis.call('LLEN', wait)
local reply = {}
for i, id in ipairs(ARGV) do
  local rank = redis.call('ZRANK', prioritized, id)
  if rank then
    reply[i] = inList + rank
  else
    -- Workers take jobs from the tail of the list.
    local index = inList > 0 and redis.call('LPOS', wait, id)
    reply[i] = index and inList - 1 - index or -1
  end
end
return reply
