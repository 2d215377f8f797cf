-- Whether there is a job that a worker may take who avoids some models. Whatever stands in front was
-- begun before and is taken by anybody. Of the others the first one of another model goes to the front
-- for once; those that it passes keep their places. The clock of its class goes on to its place, so that
-- who comes later does not gain by the time in which the head of the class did not move.
-- KEYS prioritized, wait, counts, avoided models
-- ARGV score of the front, start of the first band, width of a band, how many are looked at, prefix of
--      the jobs' keys, ttl ms, number of the last job that was there when all were looked at in vain (or
--      -1), rank to go on from, name that is no model's, avoided names
-- Returns {'take'}; {'nothing new'}; {'all', number of the job that was placed last}; or {'more', the same,
-- rank to go on from}.
-- A job that is no hash has no fields: it is taken, and who takes it removes it.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
if redis.call('LLEN', KEYS[2]) > 0 then return {'take'} end
local front, from, width = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, seen, start = tonumber(ARGV[4]), tonumber(ARGV[7]), tonumber(ARGV[8])
local placed = tonumber(redis.call('HGET', KEYS[3], 'placed') or 0)
local batch = 50
local avoided = {}
local now = redis.call('TIME')[1]
for i = 10, #ARGV do
  avoided[ARGV[i]] = true
  -- For who has to tell how long requests of other models wait.
  if ARGV[i] ~= ARGV[9] then redis.call('ZADD', KEYS[4], now, ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[4], ARGV[6])

-- Each model has the number of its job that was placed last.
local function came()
  if seen < 0 or placed < seen then return true end
  if placed == seen then return false end
  local counts = redis.call('HGETALL', KEYS[3])
  for i = 1, #counts, 2 do
    local model = string.match(counts[i], '^model:(.*)$')
    if model and not avoided[model] and tonumber(counts[i + 1]) > seen then return true end
  end
  return false
end

local at, last = 0, start + most
while at < last do
  local line = redis.call('ZRANGE', KEYS[1], at, at + batch - 1, 'WITHSCORES')
  for i = 1, #line, 2 do
    local score = tonumber(line[i + 1])
    if score < front then return {'take'} end
    if not avoided[field(ARGV[5] .. line[i], 'name')] then
      if at > 0 or i > 1 then
        redis.call('ZADD', KEYS[1], ARGV[1], line[i])
        if score >= from then
          local class = from + math.floor((score - from) / width) * width
          local place = string.format('%.0f', score - class)
          redis.call('HSET', KEYS[3], string.format('clock:%.0f', class), place)
          redis.call('PEXPIRE', KEYS[3], ARGV[6])
        end
      end
      return {'take'}
    end
  end
  if #line < 2 * batch then return {'all', placed} end
  -- The first ones are looked at each time: what was brought there by others is among them.
  if at == 0 and not came() then return {'nothing new'} end
  at = at == 0 and math.max(start, batch) or at + batch
end
-- The line moves up meanwhile.
return {'more', placed, at - batch}
