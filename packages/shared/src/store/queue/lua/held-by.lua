-- The active jobs that a worker holds, with their lock tokens: both of one moment, so that a token
-- is never that of somebody who has taken the job since.
-- KEYS active   ARGV prefix of the jobs' keys, worker
-- Returns {id, token, id, …}
-- A job that is no hash has no fields: the others must not suffer for it.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
local held = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  -- BullMQ writes the worker's name here in the script that activates the job.
  if field(ARGV[1] .. id, 'pb') == ARGV[2] then
    -- Without a lock it is the stalled check's.
    local token = redis.call('GET', ARGV[1] .. id .. ':lock')
    if token then
      held[#held + 1] = id
      held[#held + 1] = token
    end
  end
end
return held
