#!lua flags=allow-oom
-- Takes jobs for one worker, in the order in which they wait. For each of them, as if it was the only one: does
-- what BullMQ's moveToActive does, counts it, and seals the log of its request. A sleeping worker is woken only
-- while jobs are left.
-- KEYS wait, prioritized, active, delayed, meta, marker, events, priority counter, counts
-- ARGV prefix of the jobs' keys, prefix of requests, of logs, of bodies,
--      worker, its name as JSON, its clock (ms), token, ms of a lock,
--      jobs (at most), bytes of bodies and pasts after which no more are taken, workers that share the jobs,
--      jobs that are not to be counted, name of suspects,
--      every, score of the front, start of the first band, width of a band, bands, how many are looked at, ttl ms,
--      ttl ms of a request, packs and bytes of a past (at most), avoided models
-- Returns {'bullmq'}, having changed nothing, where BullMQ's own script is needed: the queue is paused or limited, or
-- has delayed jobs. Else {'taken', 1 while jobs are left, why jobs could not be counted (or ''), one for each job: {id, activations, name, data, opts,
-- deferred failure, what sealing its log gave}}. The token of the job, and the nonce of its seal, is the token, a colon, and
-- its number in the answer. A job whose hash is something else has no more than its id. Not sealed is
-- what is not to be run: suspects, which may have to wait, jobs of avoided models, those that BullMQ has fail; and
-- a log that is damaged.
--- @include "activate-job"
--- @include "count-taken"
--- @include "../../stream-log/lua/seal-log"
local wait, prioritized, active, delayed, meta, marker, events, priorityCounter, counts = unpack(KEYS)
local jobs, requests, logs, bodies,
  worker, workerJson, now, token, lockMs,
  most, room, workers, uncounted, suspect,
  every, front, from, width, bands, looked, ttl,
  lifetime, packs, bytes = unpack(ARGV)
local firstAvoided = 25

local limits = redis.call('HMGET', meta, 'paused', 'concurrency', 'max')
if limits[1] or limits[2] or limits[3] or redis.call('EXISTS', delayed) == 1 then return {'bullmq'} end

local inList = redis.call('LLEN', wait)
local left = inList + redis.call('ZCARD', prioritized)
most, room, uncounted = math.min(tonumber(most), math.ceil(left / workers)), tonumber(room), tonumber(uncounted)
local avoided
for i = firstAvoided, #ARGV do
  avoided = avoided or {}
  avoided[ARGV[i]] = true
end
local line = {
  prioritized = prioritized, counts = counts, jobs = jobs, every = tonumber(every), front = front,
  from = tonumber(from), width = tonumber(width), bands = tonumber(bands), most = looked, avoided = avoided, ttl = ttl,
}

local function nextId()
  if inList > 0 then
    inList = inList - 1
    return redis.call('LMOVE', wait, active, 'RIGHT', 'LEFT')
  end
  local id = redis.call('ZPOPMIN', prioritized)[1]
  redis.call('LPUSH', active, id)
  return id
end

local countError = ''
local function count(data, activations)
  local many = uncounted > 0 and 0 or 1
  uncounted = uncounted - 1
  -- Only a key of JSON has quotes that are not escaped and a colon. Its bytes are counted back once.
  local size = activations == 1 and string.match(data, '"bytes":(%d+)') or 0
  -- The job is active already: an error would leave it, and those before it, with nobody.
  local ok, err = pcall(countTaken, line, many, tonumber(size))
  if not ok then countError = type(err) == 'table' and err.err or tostring(err) end
end

local function seal(id, activations, nonce)
  local claim = {
    activation = activations, nonce = nonce, worker = worker, ttl = lifetime, packs = packs, bytes = bytes,
    seal = string.format('{"worker":%s,"activation":%d,"at":%s}', workerJson, activations, now),
  }
  local ok, sealed = pcall(sealLog, requests .. id, logs .. id, bodies .. id, claim)
  return ok and sealed
end

local taken = {}
while most > 0 and room > 0 do
  most, left = most - 1, left - 1
  local id = nextId()
  local job = jobs .. id
  local known = redis.pcall('HMGET', job, 'name', 'data', 'opts', 'defa')
  if known.err then
    taken[#taken + 1] = {id}
  elseif not known[2] then
    -- Its hash was removed: there is nothing to run, and BullMQ would make it a hash again.
    redis.call('LREM', active, 1, id)
  else
    local name, data, opts, failure = unpack(known)
    local own = token .. ':' .. #taken + 1
    local activations = activateJob(job, id, events, worker, own, lockMs, now)
    local sealed = false
    if not failure then
      count(data, activations)
      if name ~= suspect and not (avoided and avoided[name]) then sealed = seal(id, activations, own) end
    end
    if sealed and sealed[1] == 'sealed' then room = room - #sealed[4] - #sealed[6] end
    taken[#taken + 1] = {id, activations, name, data, opts, failure, sealed}
  end
end

if left > 0 then
  redis.call('ZADD', marker, 0, '0')
else
  redis.call('ZREM', marker, '0')
  if #taken == 0 then redis.call('DEL', priorityCounter) end
end
return {'taken', left > 0 and 1 or 0, countError, unpack(taken)}
