-- Counts jobs that a worker took. With every so many of them the first one of the next class goes to
-- the front, and with every so many of those the first one of the class behind: none waits for ever.
-- A worker that avoids some models gives the share to others, as if those did not wait.
-- KEYS prioritized, counts
-- ARGV jobs, bytes, every, score of the front, start of the first band, width of a band, bands, ttl ms,
--      how many are looked at, prefix of the jobs' keys, avoided models
-- Returns how many went to the front.
-- A job that is no hash has no fields: it is taken, and who takes it removes it.
local function field(key, name)
  local value = redis.pcall('HGET', key, name)
  return type(value) ~= 'table' and value
end
local jobs, every, width = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[6])
local taken = redis.call('HINCRBY', KEYS[2], 'taken', jobs)
if ARGV[2] ~= '0' then redis.call('HINCRBY', KEYS[2], 'bytes', '-' .. ARGV[2]) end
local turn = math.floor((taken - jobs) / every) + 1
local last = math.floor(taken / every)
if taken == jobs or turn <= last then redis.call('PEXPIRE', KEYS[2], ARGV[8]) end
local avoided = {}
for i = 11, #ARGV do avoided[ARGV[i]] = true end
local function first(band)
  local from = tonumber(ARGV[5]) + band * width
  local last = string.format('%.0f', from + width - 1)
  local most = #ARGV > 10 and ARGV[9] or 1
  from = string.format('%.0f', from)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], from, last, 'LIMIT', 0, most)) do
    if #ARGV == 10 or not avoided[field(ARGV[10] .. id, 'name')] then return id end
  end
end
local moved = 0
for at = turn, last do
  local heads = {}
  for band = 0, tonumber(ARGV[7]) - 1 do
    heads[#heads + 1] = first(band)
  end
  local chosen = heads[2]
  if heads[3] and at % every == 0 then chosen = heads[3] end
  if not chosen then break end
  redis.call('ZADD', KEYS[1], 'XX', ARGV[4], chosen)
  moved = moved + 1
end
return moved
