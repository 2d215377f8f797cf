-- The active jobs that a dead worker holds, with their lock tokens of the same moment and what tells
-- whether one of them was the cause of its death.
-- KEYS active, deaths without a culprit
-- ARGV prefix of the jobs' keys, worker, ms since its last sign of life, prefix of requests, prefix of
--      logs, ms that a death counts
-- Returns {other deaths without a culprit, id, token, ms since its seal or '', begun, shown, suspected, blamed, id, …}
-- A job that is no hash has no fields: the others must not suffer for it.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
local prefix, worker = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lastSign = now - ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - ARGV[6]))
local unexplained = redis.call('ZCARD', KEYS[2])
if redis.call('ZSCORE', KEYS[2], worker) then unexplained = unexplained - 1 end

-- The first lines tell: what is shown comes right behind the attempt that brings it.
local function hasShown(log)
  local from = '-'
  for _ = 1, 16 do
    local packs = redis.pcall('XRANGE', log, from, '+', 'COUNT', 4)
    if packs.err or #packs == 0 then return 0 end
    for _, pack in ipairs(packs) do
      if pack[2][1] == 'e' then
        local lines = '\n' .. pack[2][2]
        if string.find(lines, '\nc') or string.find(lines, '\nr') then return 1 end
      end
    end
    from = '(' .. packs[#packs][1]
  end
  return 1
end

-- The script that takes a job seals its log with the token of the job: the answer may never have been read. A run
-- that seals its log has a nonce of its own, and what follows a seal its run has written.
local function hasBegun(log, nonce, token)
  if nonce ~= token then return 1 end
  local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  return not newest.err and newest[1] and newest[1][2][1] ~= 's' and 1 or 0
end

local reply = {unexplained}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local job = prefix .. id
  -- BullMQ writes the worker's name here in the script that activates the job.
  if field(job, 'pb') == worker then
    -- Without a lock it is the stalled check's.
    local token = redis.call('GET', job .. ':lock')
    if token then
      local known = redis.pcall('HMGET', ARGV[4] .. id, 'meta', 'end', 'activation', 'sealed_at', 'suspected', 'blamed', 'nonce')
      local served, begun, shown = '', 0, 1
      -- Of one that has ended, or is gone, nothing is left to do but to say so.
      if not known.err and known[1] and not known[2] then
        shown = hasShown(ARGV[5] .. id)
        local isSealed = known[4] and known[3] == redis.call('HGET', job, 'ats')
        if isSealed then
          served = string.format('%.0f', lastSign - known[4])
          begun = hasBegun(ARGV[5] .. id, known[7], token)
        end
      end
      for _, value in ipairs({id, token, served, begun, shown, known[5] or '0', known[6] or '0'}) do
        reply[#reply + 1] = value
      end
    end
  end
end
return reply
