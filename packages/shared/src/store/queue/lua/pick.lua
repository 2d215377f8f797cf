-- Finds a job for a worker that skips some models, and moves it to the front if it is not there. Any worker takes a job
-- in front, whatever its model: its run began before. Of the others the first one of another model goes to the front for
-- once; the jobs that it passes keep their places. The clock of its class advances to its place, so that a job that
-- comes later gains nothing from the time in which the head of the class did not move.
-- KEYS prioritized, wait, counts, skipped models
-- ARGV score of the front, start of the first band, width of a band, most jobs scanned, prefix of the jobs' keys, ttl (ms),
--      number of the newest job at the last full scan without a result (or -1), rank to resume from, name of suspects,
--      then the skipped names
-- Returns {'take'}, {'nothing new'}, {'all', number of the newest job}, or {'more', number of the newest job, rank to
-- resume from}.
local prioritized, wait, counts, skippedModels = unpack(KEYS)
local front, from, width, most, jobs, ttl, seen, start, suspect = unpack(ARGV)
local firstSkipped = 10
local frontScore = front
front, from, width = tonumber(front), tonumber(from), tonumber(width)
most, seen, start = tonumber(most), tonumber(seen), tonumber(start)
-- A job whose key is no hash has no fields: the worker takes it, and removes it.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
if redis.call('LLEN', wait) > 0 then return {'take'} end
local placed = tonumber(redis.call('HGET', counts, '@counts.placed') or 0)
local batch = 50
local skipped = {}
local now = redis.call('TIME')[1]
for i = firstSkipped, #ARGV do
  skipped[ARGV[i]] = true
  -- Ingresses estimate the waits of other models from this.
  if ARGV[i] ~= suspect then redis.call('ZADD', skippedModels, now, ARGV[i]) end
end
redis.call('PEXPIRE', skippedModels, ttl)

-- Whether a job of another model came since the last full scan: `model:<name>` has the number of the model's newest job.
local function hasNew()
  if seen < 0 or placed < seen then return true end
  if placed == seen then return false end
  local known = redis.call('HGETALL', counts)
  for i = 1, #known, 2 do
    local model = string.match(known[i], '^' .. '@counts.model' .. '(.*)$')
    if model and not skipped[model] and tonumber(known[i + 1]) > seen then return true end
  end
  return false
end

local at, last = 0, start + most
while at < last do
  local found = redis.call('ZRANGE', prioritized, at, at + batch - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local id, score = found[i], tonumber(found[i + 1])
    if score < front then return {'take'} end
    if not skipped[field(jobs .. id, '@bullJob.name')] then
      if at > 0 or i > 1 then
        redis.call('ZADD', prioritized, frontScore, id)
        if score >= from then
          local band = from + math.floor((score - from) / width) * width
          local place = string.format('%.0f', score - band)
          redis.call('HSET', counts, '@counts.clock' .. string.format('%.0f', band), place)
          redis.call('PEXPIRE', counts, ttl)
        end
      end
      return {'take'}
    end
  end
  if #found < 2 * batch then return {'all', placed} end
  -- Every call scans the first batch: jobs that other scripts moved to the front are in it.
  if at == 0 and not hasNew() then return {'nothing new'} end
  at = at == 0 and math.max(start, batch) or at + batch
end
-- Resume one batch earlier: workers take jobs from the head meanwhile.
return {'more', placed, at - batch}
