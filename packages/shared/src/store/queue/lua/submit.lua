-- Creates a request in one step: its hash, its body, its first reader, its job, and the job's place in the fair queue. If
-- no job waits and a worker offers a free slot, the job goes to that worker at once by a message, active and with its log
-- sealed. Redis itself refuses the script when it is out of memory.
-- KEYS request, body, job, prioritized, active, marker, events, id counter and meta of the queue, finishes
--      of the class, counts, deadlines, wait and delayed of the queue, log, offers, dispatches, beats
--      [, idempotency key]
-- ARGV id, meta JSON, inbox or '', body, ttl of a request (ms), model, job data JSON, job options JSON, BullMQ's priority,
--      now (ms since the epoch), start of the class's band, width of a band, step, key, bytes, ttl of a job (ms), deadline
--      (ms since the epoch) or '', token for the job's lock, ttl of the lock (ms), most bytes of a body that goes by
--      message, prefix of the workers' channels, ms for which a beat keeps an offer valid, '1' for a webhook or '', '1' if the body is
--      kept as long as the log or '' [, fingerprint, caller as `inbox/token`]
-- Returns {'created'}, {'created', 'waiting'} if its job waits, {'joined', id} or {'conflict'}.
-- A second call after a lost connection changes nothing: others may have subscribed, or the request has ended.
--- @include "enqueue"
--- @include "add-job"
--- @include "activate-job"
--- @include "dispatch-job"
local request, body, once = KEYS[1], KEYS[2], KEYS[19]
local queue = {job = KEYS[3], prioritized = KEYS[4], active = KEYS[5], marker = KEYS[6], events = KEYS[7],
  id = KEYS[8], meta = KEYS[9], wait = KEYS[13], delayed = KEYS[14]}
local finishes, counts, deadlines = KEYS[10], KEYS[11], KEYS[12]
local log, offers, dispatches, beats = KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local id, meta, inbox, text, lifetime = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local job = {model = ARGV[6], data = ARGV[7], opts = ARGV[8], priority = ARGV[9], timestamp = ARGV[10],
  from = ARGV[11], width = tonumber(ARGV[12]), step = ARGV[13], key = ARGV[14], bytes = ARGV[15],
  ttl = ARGV[16]}
local deadline, token, lockMs, mostBytes, channels = ARGV[17], ARGV[18], ARGV[19], tonumber(ARGV[20]), ARGV[21]
local offerMs, webhook, keepsBody = tonumber(ARGV[22]), ARGV[23], ARGV[24]
local fingerprint, caller = ARGV[25], ARGV[26]

if once then
  local known = redis.call('HMGET', once, '@once.id', '@once.request', '@once.fingerprint')
  -- An idempotency key can outlive its request, and is free then.
  if known[1] and known[1] ~= id and redis.call('EXISTS', known[2]) == 1 then
    if known[3] ~= fingerprint then return {'conflict'} end
    local callers = redis.call('HGET', known[2], '@request.callers') or ''
    if not string.find(' ' .. callers .. ' ', ' ' .. caller .. ' ', 1, true) then
      redis.call('HSET', known[2], '@request.callers', callers .. ' ' .. caller)
    end
    return {'joined', known[1]}
  end
end
if redis.call('HEXISTS', request, '@request.meta') == 1 then return {'created'} end

-- Chooses a worker; none if another job waits, or if take.lua would leave the queue to BullMQ's own script.
local function choose()
  if #text > mostBytes or redis.call('ZCARD', queue.prioritized) > 0 then return end
  local limits = redis.call('HMGET', queue.meta, '@bullMeta.paused', '@bullMeta.concurrency', '@bullMeta.max')
  if limits[1] or limits[2] or limits[3] then return end
  if redis.call('EXISTS', queue.wait, queue.delayed) > 0 then return end
  return bestOffer(offers, dispatches, beats, channels, offerMs)
end

-- Does what take.lua does to a job. The message comes last: no command after it can fail.
local function dispatch(offer)
  local worker, number, at = offer[1], offer[2], string.format('%.0f', offer[4])
  redis.call('LPUSH', queue.active, id)
  activateJob(queue.job, id, queue.events, worker, token, lockMs, job.timestamp)
  local seal = string.format('{"worker":%s,"activation":1,"at":%s}', cjson.encode(worker), job.timestamp)
  redis.call('XADD', log, '1-0', '@entry.seal', seal, '@entry.previous', '0-0')
  redis.call('PEXPIRE', log, lifetime)
  redis.call('HSET', request, '@request.run', '1', '@request.activation', '1', '@request.nonce', token,
    '@request.worker', worker, '@request.sealedAt', at)
  -- Its bytes are not counted, because it never waits; and no class is owed its share while no job waits.
  if redis.call('HINCRBY', counts, '@counts.taken', 1) % 64 == 1 then redis.call('PEXPIRE', counts, job.ttl) end
  takeOffer(offers, dispatches, offer)
  local message = {'job', string.format('%.0f', number), at, id, token, job.data, job.opts, text}
  redis.call('SPUBLISH', channels .. worker, table.concat(message, '\n'))
end

local isPlaced = false
local function create()
  redis.call('HSET', request, '@request.meta', meta, '@request.readers', inbox)
  if webhook ~= '' then redis.call('HSET', request, '@request.webhook', webhook) end
  if keepsBody ~= '' then redis.call('HSET', request, '@request.keepsBody', keepsBody) end
  redis.call('PEXPIRE', request, lifetime)
  redis.call('SET', body, text, 'PX', lifetime)
  if once then
    redis.call('HSET', request, '@request.once', once, '@request.callers', caller)
    redis.call('HSET', once, '@once.id', id, '@once.request', request, '@once.fingerprint', fingerprint)
    redis.call('PEXPIRE', once, lifetime)
  end
  -- Also for a dispatched job, because its message may be lost; the run removes the deadline when it begins.
  if deadline ~= '' then
    redis.call('ZADD', deadlines, deadline, id)
    redis.call('PEXPIRE', deadlines, job.ttl)
  end
  -- A fault in an offer must not lose the request: the job then waits, as without an offer.
  local isKnown, offer = pcall(choose)
  if isKnown and offer then
    addJob(queue, id, job)
    redis.call('PEXPIRE', queue.job, job.ttl)
    return dispatch(offer)
  end
  local score, beginning = enqueue(queue.prioritized, finishes, counts, job)
  isPlaced = true
  addJob(queue, id, job, score, beginning)
  -- Otherwise BullMQ's hash of a lost job would stay for ever.
  redis.call('PEXPIRE', queue.job, job.ttl)
end

local created, problem = pcall(create)
if created then return isPlaced and {'created', 'waiting'} or {'created'} end
-- Redis does not roll back a script that fails, for instance at a key of the wrong type. Without this, a request
-- without a job would stay until it expires, and so would its idempotency key.
redis.call('UNLINK', request, body, queue.job, queue.job .. '@bullKey.lock', log)
if once then redis.call('UNLINK', once) end
redis.pcall('ZREM', queue.prioritized, id)
redis.pcall('ZREM', deadlines, id)
redis.pcall('LREM', queue.active, 1, id)
-- The job does not wait: subtract its bytes.
if isPlaced then redis.pcall('HINCRBY', counts, '@counts.bytes', '-' .. job.bytes) end
return type(problem) == 'table' and problem or redis.error_reply(problem)
