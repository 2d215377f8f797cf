-- Counts jobs that a worker took. With every so many of them the first one of the next class goes to
-- the front, and with every so many of those the first one of the class behind: none waits for ever.
-- A worker that avoids some models gives the share to others, as if those did not wait.
-- line: prioritized, counts (keys), jobs (prefix of their keys), every, front (a score), from (start of the first
--       band), width (of a band), bands, most (jobs looked at), avoided (set of models, or nil), ttl (ms)
-- Returns how many went to the front.
local function countTaken(line, jobs, bytes)
  -- A job that is no hash has no fields: it is taken, and who takes it removes it.
  local function model(id)
    local value = redis.pcall('HGET', line.jobs .. id, 'name')
    return type(value) ~= 'table' and value
  end
  local function first(band)
    local from = line.from + band * line.width
    local last = string.format('%.0f', from + line.width - 1)
    from = string.format('%.0f', from)
    local most = line.avoided and line.most or 1
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', line.prioritized, from, last, 'LIMIT', 0, most)) do
      if not line.avoided or not line.avoided[model(id)] then return id end
    end
  end
  local taken = redis.call('HINCRBY', line.counts, 'taken', jobs)
  if bytes > 0 then redis.call('HINCRBY', line.counts, 'bytes', '-' .. bytes) end
  local turn = math.floor((taken - jobs) / line.every) + 1
  local last = math.floor(taken / line.every)
  if taken == jobs or turn <= last then redis.call('PEXPIRE', line.counts, line.ttl) end
  local moved = 0
  for at = turn, last do
    local heads = {}
    for band = 0, line.bands - 1 do heads[#heads + 1] = first(band) end
    local chosen = heads[2]
    if heads[3] and at % line.every == 0 then chosen = heads[3] end
    if not chosen then break end
    redis.call('ZADD', line.prioritized, 'XX', line.front, chosen)
    moved = moved + 1
  end
  return moved
end
