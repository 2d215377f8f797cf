#!lua flags=allow-oom
-- Counts further use from now, or gives use back to the slot that was charged, if that slot still counts.
-- KEYS windows: a hash with a field `<name>:<slot>` for each slot
-- ARGV length of a slot (ms), slots, then for each correction: name, amount, slot or ''
local windows = KEYS[1]
local length, count = ARGV[1], ARGV[2]
local firstCorrection = 3
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = math.floor(now / tonumber(length))
-- All corrections or none: an amount that is no whole number would leave those before it counted.
for i = firstCorrection, #ARGV, 3 do
  local amount = tonumber(ARGV[i + 1])
  if not amount or math.abs(amount) > 2 ^ 53 or amount ~= math.floor(amount) then
    return redis.error_reply('ERR not an amount: ' .. ARGV[i + 1])
  end
end
for i = firstCorrection, #ARGV, 3 do
  local name, amount, slot = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if tonumber(amount) > 0 then
    redis.call('HINCRBY', windows, name .. ':' .. newest, amount)
    redis.call('PEXPIRE', windows, (count + 1) * length)
  else
    local field = name .. ':' .. slot
    if redis.call('HEXISTS', windows, field) == 1 then
      redis.call('HINCRBY', windows, field, amount)
    end
  end
end
