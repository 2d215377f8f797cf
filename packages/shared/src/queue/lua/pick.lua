-- Whether there is a job that a worker may take who avoids some models. Whatever stands in front was
-- begun before and is taken by anybody. Of the others the first one of another model goes to the front
-- for once; those that it passes keep their places. The clock of its class goes on to its place, so that
-- who comes later does not gain by the time in which the head of the class did not move.
-- KEYS prioritized, wait, counts
-- ARGV score of the front, start of the first band, width of a band, how many are looked at, prefix of
--      the jobs' keys, ttl ms, avoided models
-- Returns 1 when the next job may be taken, else 0.
if redis.call('LLEN', KEYS[2]) > 0 then return 1 end
local front, from, width = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, batch = tonumber(ARGV[4]), 50
local avoided = {}
for i = 7, #ARGV do avoided[ARGV[i]] = true end
for at = 0, most - 1, batch do
  local last = math.min(at + batch, most) - 1
  local line = redis.call('ZRANGE', KEYS[1], at, last, 'WITHSCORES')
  for i = 1, #line, 2 do
    local score = tonumber(line[i + 1])
    if score < front then return 1 end
    if not avoided[redis.call('HGET', ARGV[5] .. line[i], 'name')] then
      if at > 0 or i > 1 then
        redis.call('ZADD', KEYS[1], ARGV[1], line[i])
        if score >= from then
          local start = from + math.floor((score - from) / width) * width
          redis.call('HSET', KEYS[3], string.format('clock:%.0f', start), string.format('%.0f', score - start))
          redis.call('PEXPIRE', KEYS[3], ARGV[6])
        end
      end
      return 1
    end
  end
  if #line < 2 * batch then return 0 end
end
return 0
