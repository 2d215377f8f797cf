-- Returns the active jobs that a dead worker holds, with their lock tokens of the same moment and with the facts by which
-- domain/poison.ts decides whether one of them caused the death.
-- KEYS active, deaths without a known cause
-- ARGV prefix of the jobs' keys, worker, ms since its last sign of life, prefix of requests, prefix of logs, ms for which a
--      death counts
-- Returns {other deaths without a known cause, then for each job: id, token, ms that the worker lived after the job's seal
--          or '', 1 if its run has begun, 1 if a part of its answer was shown, times suspected, times blamed}.
local active, deaths = KEYS[1], KEYS[2]
local jobs, worker, silentMs, requests, logs, deathCountsMs = unpack(ARGV)
-- A job whose key is no hash has no fields, and must not fail the script for the others.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lastSign = now - silentMs
redis.call('ZREMRANGEBYSCORE', deaths, '-inf', string.format('%.0f', now - deathCountsMs))
local unexplained = redis.call('ZCARD', deaths)
if redis.call('ZSCORE', deaths, worker) then unexplained = unexplained - 1 end

-- The first lines suffice: a chunk follows directly on the attempt that brings it.
local function hasShown(log)
  local from = '-'
  for _ = 1, 16 do
    local entries = redis.pcall('XRANGE', log, from, '+', 'COUNT', 4)
    if entries.err or #entries == 0 then return 0 end
    for _, entry in ipairs(entries) do
      if entry[2][1] == '@entry.lines' then
        local lines = '\n' .. entry[2][2]
        if string.find(lines, '\n' .. '@line.chunk') or string.find(lines, '\n' .. '@line.result') then return 1 end
      end
    end
    from = '(' .. entries[#entries][1]
  end
  return 1
end

-- The script that takes a job seals its log with the token of the job; the worker may have died before it read the
-- answer. A run that seals its log itself has a nonce of its own, and only the run writes what follows a seal.
local function hasBegun(log, nonce, token)
  if nonce ~= token then return 1 end
  local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  return not newest.err and newest[1] and newest[1][2][1] ~= '@entry.seal' and 1 or 0
end

local reply = {unexplained}
for _, id in ipairs(redis.call('LRANGE', active, 0, -1)) do
  local job = jobs .. id
  -- BullMQ writes the worker's name to `pb` in the script that activates the job.
  if field(job, '@bullJob.processedBy') == worker then
    local token = redis.call('GET', job .. '@bullKey.lock')
    -- BullMQ's stalled check moves a job without a lock.
    if token then
      local log = logs .. id
      local known = redis.pcall('HMGET', requests .. id, '@request.meta', '@request.end', '@request.activation',
        '@request.sealedAt', '@request.suspected', '@request.blamed', '@request.nonce')
      local served, begun, shown = '', 0, 1
      -- A request that has ended, or is gone, caused nothing: the defaults say so.
      if not known.err and known[1] and not known[2] then
        shown = hasShown(log)
        local isSealed = known[4] and known[3] == redis.call('HGET', job, '@bullJob.attemptsStarted')
        if isSealed then
          served = string.format('%.0f', lastSign - known[4])
          begun = hasBegun(log, known[7], token)
        end
      end
      for _, value in ipairs({id, token, served, begun, shown, known[5] or '0', known[6] or '0'}) do
        reply[#reply + 1] = value
      end
    end
  end
end
return reply
