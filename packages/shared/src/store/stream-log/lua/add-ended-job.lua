-- Adds an ended request with a webhook to its shard's stream, from which the control plane takes it.
-- `line`: its terminal line.
local function addEndedJob(tag, most, request, line)
  -- A key of the wrong type must not keep a request from ending: pcall.
  local stream = tag .. '@key.endedJobs'
  local waiting = redis.pcall('XLEN', stream)
  local hasRoom = type(waiting) == 'number' and waiting < tonumber(most)
  local meta = redis.call('HGET', request, '@request.meta')
  if not hasRoom or redis.pcall('XADD', stream, '*', '@endedJob.meta', meta, '@endedJob.end', line).err then
    redis.pcall('HINCRBY', tag .. '@key.counts', '@counts.webhooksDropped', 1)
  end
end
