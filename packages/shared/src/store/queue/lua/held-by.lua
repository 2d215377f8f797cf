-- Returns the active jobs that a worker holds, with their lock tokens of the same moment: a token read later could be
-- that of the next holder.
-- KEYS active
-- ARGV prefix of the jobs' keys, worker
-- Returns {id, token, id, …}.
local active = KEYS[1]
local jobs, worker = ARGV[1], ARGV[2]
-- A job whose key is no hash has no fields, and must not fail the script for the others.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
local held = {}
for _, id in ipairs(redis.call('LRANGE', active, 0, -1)) do
  -- BullMQ writes the worker's name to `pb` in the script that activates the job.
  if field(jobs .. id, '@bullJob.processedBy') == worker then
    local token = redis.call('GET', jobs .. id .. '@bullKey.lock')
    -- BullMQ's stalled check moves a job without a lock.
    if token then
      held[#held + 1] = id
      held[#held + 1] = token
    end
  end
end
return held
