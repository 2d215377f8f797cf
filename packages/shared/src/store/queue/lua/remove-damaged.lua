-- Removes jobs whose key is no hash, because every script of the queue fails at such a job.
-- KEYS active, wait, stalled, prioritized, deadlines
-- ARGV prefix of the jobs' keys, then ids (without any, all active jobs)
-- Returns the ids of the removed jobs.
local active, wait, stalled, prioritized, deadlines = unpack(KEYS)
local jobs = ARGV[1]
local ids = {}
for i = 2, #ARGV do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then ids = redis.call('LRANGE', active, 0, -1) end
local removed = {}
for _, id in ipairs(ids) do
  local job = jobs .. id
  local kind = redis.call('TYPE', job).ok
  if kind ~= 'hash' and kind ~= 'none' then
    redis.call('LREM', active, 0, id)
    redis.call('LREM', wait, 0, id)
    redis.call('SREM', stalled, id)
    redis.call('ZREM', prioritized, id)
    redis.call('ZREM', deadlines, id)
    redis.call('UNLINK', job, job .. '@bullKey.lock', job .. '@bullKey.logs')
    removed[#removed + 1] = id
  end
end
return removed
