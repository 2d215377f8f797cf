#!lua flags=allow-oom
-- Moves jobs that a worker must not keep to the front of the queue, wakes a worker, and informs all workers how many
-- wait. For each job it does what BullMQ does to move it from its worker (moveJobFromActiveToWait), and nothing if
-- the token no longer holds it.
-- KEYS wait, prioritized, active, stalled, marker, meta, events
-- ARGV prefix of the jobs' keys, channel of all workers or '', other jobs that wait again, then id, token of each job
-- Returns how many jobs were moved.
local wait, prioritized, active, stalled, marker, meta, events = unpack(KEYS)
local jobs, channel, others = unpack(ARGV)
local firstId = 4
local mostEvents = redis.call('HGET', meta, '@bullMeta.maxLenEvents') or 10000
local moved = 0
for i = firstId, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local job = jobs .. id
  -- remove-damaged.lua removes a job whose key is no hash.
  local priority = redis.pcall('HGET', job, '@bullJob.priority')
  local isOurs = type(priority) ~= 'table' and redis.call('GET', job .. '@bullKey.lock') == token
  if isOurs then
    redis.call('DEL', job .. '@bullKey.lock')
    redis.call('SREM', stalled, id)
    if redis.call('LREM', active, 1, id) > 0 then
      -- All jobs with a standing have the same priority: their score determines their position.
      if tonumber(priority or 0) > 0 then redis.call('ZADD', prioritized, priority * 0x100000000, id)
      else redis.call('RPUSH', wait, id) end
      redis.call('XADD', events, 'MAXLEN', '~', mostEvents, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
      moved = moved + 1
    end
  end
end
local waiting = moved + others
if waiting == 0 then return 0 end
-- The marker wakes a worker that sleeps: BullMQ does not do so when a job with a priority moves back.
redis.call('ZADD', marker, 0, '0')
local workers = channel ~= '' and redis.call('PUBSUB', 'SHARDNUMSUB', channel)[2] or 0
-- Each worker gets its share, and fetches it in parallel.
if workers > 0 then redis.call('SPUBLISH', channel, math.ceil(waiting / workers)) end
return moved
