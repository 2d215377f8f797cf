-- Makes a request in one step: what it is, its body, its first reader, its job and the job's place among
-- those that wait. Refused by Redis itself when it is out of memory.
-- KEYS request, body, job, prioritized, active, marker, events, id counter and meta of the queue, finishes
--      of the class, counts, deadlines [, idempotency key]
-- ARGV id, meta JSON, inbox or '', body, ms that a request lives, model, job data JSON, job options JSON,
--      BullMQ's priority, now (ms since the epoch), start of the band, its width, step, key, bytes, ms that
--      a job lives, deadline (ms since the epoch) or '' [, fingerprint, caller as `inbox/token`]
-- Returns {'created'}, {'joined', id} or {'conflict'}
-- Sent again after a lost connection it changes nothing: others may have subscribed, or it has ended.
--- @include "place-job"
--- @include "add-job"
local request, body, once = KEYS[1], KEYS[2], KEYS[13]
local queue = {job = KEYS[3], prioritized = KEYS[4], active = KEYS[5], marker = KEYS[6], events = KEYS[7],
  id = KEYS[8], meta = KEYS[9]}
local finishes, counts, deadlines = KEYS[10], KEYS[11], KEYS[12]
local id, meta, inbox, text, lifetime = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local job = {model = ARGV[6], data = ARGV[7], opts = ARGV[8], priority = ARGV[9], timestamp = ARGV[10],
  from = ARGV[11], width = tonumber(ARGV[12]), step = ARGV[13], key = ARGV[14], bytes = ARGV[15],
  ttl = ARGV[16]}
local deadline, fingerprint, caller = ARGV[17], ARGV[18], ARGV[19]

if once then
  local known = redis.call('HMGET', once, 'id', 'request', 'fingerprint')
  -- A key can outlive its request, but stands for nothing then.
  if known[1] and known[1] ~= id and redis.call('EXISTS', known[2]) == 1 then
    if known[3] ~= fingerprint then return {'conflict'} end
    local callers = redis.call('HGET', known[2], 'callers') or ''
    if not string.find(' ' .. callers .. ' ', ' ' .. caller .. ' ', 1, true) then
      redis.call('HSET', known[2], 'callers', callers .. ' ' .. caller)
    end
    return {'joined', known[1]}
  end
end
if redis.call('HEXISTS', request, 'meta') == 1 then return {'created'} end

local isPlaced = false
local function make()
  redis.call('HSET', request, 'meta', meta, 'subs', inbox)
  redis.call('PEXPIRE', request, lifetime)
  redis.call('SET', body, text, 'PX', lifetime)
  if once then
    redis.call('HSET', request, 'once', once, 'callers', caller)
    redis.call('HSET', once, 'id', id, 'request', request, 'fingerprint', fingerprint)
    redis.call('PEXPIRE', once, lifetime)
  end
  local score, beginning = placeJob(queue.prioritized, finishes, counts, job)
  isPlaced = true
  addJob(queue, id, job, score, beginning)
  -- BullMQ's own hash of the job, which nothing else would end where the job is lost.
  redis.call('PEXPIRE', queue.job, job.ttl)
  if deadline ~= '' then
    redis.call('ZADD', deadlines, deadline, id)
    redis.call('PEXPIRE', deadlines, job.ttl)
  end
end

local made, problem = pcall(make)
if made then return {'created'} end
-- Redis undoes nothing of a script that fails, at a key that is not of its type for instance: without its
-- job the request would run to its end of life, and its Idempotency-Key would stand for it until then.
redis.call('UNLINK', request, body, queue.job)
if once then redis.call('UNLINK', once) end
redis.pcall('ZREM', queue.prioritized, id)
redis.pcall('ZREM', deadlines, id)
-- It does not wait: its body is no longer counted.
if isPlaced then redis.pcall('HINCRBY', counts, 'bytes', '-' .. job.bytes) end
return type(problem) == 'table' and problem or redis.error_reply(problem)
