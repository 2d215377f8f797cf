-- Counts jobs that a worker took. With every `every` of them, the first job of the next class goes to the front, and
-- with every `every` of those the first job of the class behind it, so that no class waits for ever. A worker that
-- skips some models gives the share to jobs of other models.
-- queue: prioritized, counts (keys), jobs (prefix of their keys), every, front (a score), from (start of the first
-- band),
--        width (of a band), bands, most (jobs scanned), skipped (set of models, or nil), ttl (ms)
-- Returns how many jobs went to the front.
local function countTaken(queue, jobs, bytes)
  -- A job whose key is no hash has no fields: the worker takes it, and removes it.
  local function model(id)
    local value = redis.pcall('HGET', queue.jobs .. id, '@bullJob.name')
    return type(value) ~= 'table' and value
  end
  local function first(band)
    local from = queue.from + band * queue.width
    local last = string.format('%.0f', from + queue.width - 1)
    from = string.format('%.0f', from)
    local most = queue.skipped and queue.most or 1
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue.prioritized, from, last, 'LIMIT', 0, most)) do
      if not queue.skipped or not queue.skipped[model(id)] then return id end
    end
  end
  local taken = redis.call('HINCRBY', queue.counts, '@counts.taken', jobs)
  if bytes > 0 then redis.call('HINCRBY', queue.counts, '@counts.bytes', '-' .. bytes) end
  local turn = math.floor((taken - jobs) / queue.every) + 1
  local last = math.floor(taken / queue.every)
  if taken == jobs or turn <= last then redis.call('PEXPIRE', queue.counts, queue.ttl) end
  local moved = 0
  for at = turn, last do
    local heads = {}
    for band = 0, queue.bands - 1 do heads[#heads + 1] = first(band) end
    local chosen = heads[2]
    if heads[3] and at % queue.every == 0 then chosen = heads[3] end
    if not chosen then break end
    redis.call('ZADD', queue.prioritized, 'XX', queue.front, chosen)
    moved = moved + 1
  end
  return moved
end
