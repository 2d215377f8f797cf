-- Whether there is a job that a worker may take who avoids some models. Whatever stands in front was
-- begun before and is taken by anybody. Of the others the first one of another model goes to the front
-- for once; those that it passes keep their places. The clock of its class goes on to its place, so that
-- who comes later does not gain by the time in which the head of the class did not move.
-- KEYS prioritized, wait, counts
-- ARGV score of the front, start of the first band, width of a band, how many are looked at, prefix of
--      the jobs' keys, ttl ms, number of the last job that was there when all were looked at in vain (or
--      -1), avoided models
-- Returns -1 when the next job may be taken; -2 when there is none, as nothing came since; and when all were
-- looked at in vain the number of the last job that was there.
if redis.call('LLEN', KEYS[2]) > 0 then return -1 end
local front, from, width = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, seen = tonumber(ARGV[4]), tonumber(ARGV[7])
local batch = 50
local avoided = {}
for i = 8, #ARGV do avoided[ARGV[i]] = true end

-- Each model has the number of its job that was placed last.
local function came(placed)
  if seen < 0 or placed < seen then return true end
  if placed == seen then return false end
  local counts = redis.call('HGETALL', KEYS[3])
  for i = 1, #counts, 2 do
    local model = string.match(counts[i], '^model:(.*)$')
    if model and not avoided[model] and tonumber(counts[i + 1]) > seen then return true end
  end
  return false
end

for at = 0, most - 1, batch do
  local last = math.min(at + batch, most) - 1
  local line = redis.call('ZRANGE', KEYS[1], at, last, 'WITHSCORES')
  for i = 1, #line, 2 do
    local score = tonumber(line[i + 1])
    if score < front then return -1 end
    if not avoided[redis.call('HGET', ARGV[5] .. line[i], 'name')] then
      if at > 0 or i > 1 then
        redis.call('ZADD', KEYS[1], ARGV[1], line[i])
        if score >= from then
          local start = from + math.floor((score - from) / width) * width
          local place = string.format('%.0f', score - start)
          redis.call('HSET', KEYS[3], string.format('clock:%.0f', start), place)
          redis.call('PEXPIRE', KEYS[3], ARGV[6])
        end
      end
      return -1
    end
  end
  if #line < 2 * batch then break end
  if at == 0 and not came(tonumber(redis.call('HGET', KEYS[3], 'placed') or 0)) then return -2 end
end
return tonumber(redis.call('HGET', KEYS[3], 'placed') or 0)
