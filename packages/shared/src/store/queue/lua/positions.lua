-- How many jobs stand before each of these, from 0; -1 for one that does not wait.
-- KEYS prioritized, wait   ARGV ids
local first = redis.call('LLEN', KEYS[2])
local reply = {}
for i, id in ipairs(ARGV) do
  local rank = redis.call('ZRANK', KEYS[1], id)
  if rank then
    reply[i] = first + rank
  else
    -- Jobs are taken from the tail of the list.
    local index = first > 0 and redis.call('LPOS', KEYS[2], id)
    reply[i] = index and first - 1 - index or -1
  end
end
return reply
