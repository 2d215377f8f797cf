#!lua flags=allow-oom
-- Puts jobs that a worker is not to have any more in front of those that wait, and tells the workers that they wait.
-- For each of them: what BullMQ does to move a job from its worker (moveJobFromActiveToWait), and nothing where the job is
-- not the token's any more.
-- KEYS wait, prioritized, active, stalled, marker, meta, events
-- ARGV prefix of the jobs' keys, channel of the workers, other jobs that wait again, id, token, id, …
-- Returns how many were moved.
local wait, prioritized, active, stalled, marker, meta, events = unpack(KEYS)
local jobs, channel, others = unpack(ARGV)
local firstId = 4
local mostEvents = redis.call('HGET', meta, 'opts.maxLenEvents') or 10000
local moved = 0
for i = firstId, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local job = jobs .. id
  -- One that is no hash is left to those who remove damaged jobs.
  local priority = redis.pcall('HGET', job, 'priority')
  local isOurs = type(priority) ~= 'table' and redis.call('GET', job .. ':lock') == token
  if isOurs then
    redis.call('DEL', job .. ':lock')
    redis.call('SREM', stalled, id)
    if redis.call('LREM', active, 1, id) > 0 then
      -- That of all jobs with a standing is the same one: where they stand is said by their score.
      if tonumber(priority or 0) > 0 then redis.call('ZADD', prioritized, priority * 0x100000000, id)
      else redis.call('RPUSH', wait, id) end
      redis.call('XADD', events, 'MAXLEN', '~', mostEvents, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
      moved = moved + 1
    end
  end
end
local waiting = moved + others
if waiting == 0 then return 0 end
-- Wakes a worker that sleeps: BullMQ does not when a job with a priority is moved back.
redis.call('ZADD', marker, 0, '0')
local workers = channel ~= '' and redis.call('PUBSUB', 'SHARDNUMSUB', channel)[2] or 0
-- To each its share, for it to fetch them side by side.
if workers > 0 then redis.call('SPUBLISH', channel, math.ceil(waiting / workers)) end
return moved
