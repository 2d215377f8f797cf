#!lua flags=allow-oom
-- Takes jobs for one worker, in the order in which they wait. For each job it does what BullMQ's moveToActive does, counts
-- the job, and seals the log of its request. It wakes a sleeping worker only while jobs are left.
-- KEYS wait, prioritized, active, delayed, meta, marker, events, priority counter, counts
-- ARGV prefix of the jobs' keys, prefix of requests, of logs, of bodies,
--      worker, its name as JSON, its clock (ms), token, ttl of a lock (ms),
--      most jobs, bytes of bodies and pasts after which it takes no more, workers that share the jobs,
--      jobs that are not to be counted, name of suspects,
--      every, score of the front, start of the first band, width of a band, bands, most jobs scanned, ttl (ms),
--      ttl of a request (ms), most entries and bytes of a past, then the skipped models
-- Returns {'bullmq'}, without a change, if only BullMQ's own script can take jobs: the queue is paused or limited, or has
-- delayed jobs. Else {'taken', 1 while jobs are left, why jobs could not be counted or '', then for each job {id,
-- activations, name, data, opts, deferred failure, reply of sealLog}}. The token of a job, which is also the nonce of its
-- seal, is the token, a colon, and its number in the reply. A job whose key is no hash has only its id. The script does
-- not seal the log of a job that will not run now: of a suspect, which may have to wait, of a skipped model, and of a job
-- that BullMQ makes fail. A damaged log stays unsealed, too.
--- @include "activate-job"
--- @include "count-taken"
--- @include "../../stream-log/lua/seal-log"
local wait, prioritized, active, delayed, meta, marker, events, priorityCounter, counts = unpack(KEYS)
local jobs, requests, logs, bodies,
  worker, workerJson, now, token, lockMs,
  most, room, workers, uncounted, suspect,
  every, front, from, width, bands, scanned, ttl,
  lifetime, packs, bytes = unpack(ARGV)
local firstSkipped = 25

local limits = redis.call('HMGET', meta, '@bullMeta.paused', '@bullMeta.concurrency', '@bullMeta.max')
if limits[1] or limits[2] or limits[3] or redis.call('EXISTS', delayed) == 1 then return {'bullmq'} end

local inList = redis.call('LLEN', wait)
local left = inList + redis.call('ZCARD', prioritized)
most, room, uncounted = math.min(tonumber(most), math.ceil(left / workers)), tonumber(room), tonumber(uncounted)
local skippedSet
for i = firstSkipped, #ARGV do
  skippedSet = skippedSet or {}
  skippedSet[ARGV[i]] = true
end
local queue = {
  prioritized = prioritized, counts = counts, jobs = jobs, every = tonumber(every), front = front,
  from = tonumber(from), width = tonumber(width), bands = tonumber(bands), most = scanned, skipped = skippedSet, ttl = ttl,
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
  -- Only a JSON key is followed by an unescaped quote and a colon. The first activation subtracts the job's bytes.
  local size = activations == 1 and string.match(data, '"bytes":(%d+)') or 0
  -- The job is active already: an error would leave it, and those before it, without a worker.
  local ok, err = pcall(countTaken, queue, many, tonumber(size))
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
  local known = redis.pcall('HMGET', job, '@bullJob.name', '@bullJob.data', '@bullJob.options', '@bullJob.deferredFailure')
  if known.err then
    taken[#taken + 1] = {id}
  elseif not known[2] then
    -- The hash was removed: there is nothing to run, and BullMQ would create the hash again.
    redis.call('LREM', active, 1, id)
  else
    local name, data, opts, failure = unpack(known)
    local own = token .. ':' .. #taken + 1
    local activations = activateJob(job, id, events, worker, own, lockMs, now)
    local sealed = false
    if not failure then
      count(data, activations)
      if name ~= suspect and not (skippedSet and skippedSet[name]) then sealed = seal(id, activations, own) end
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
