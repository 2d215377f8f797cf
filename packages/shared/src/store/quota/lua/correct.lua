#!lua flags=allow-oom
-- Counts a further use from now, or gives back to the slot that was charged, if that still counts.
-- KEYS hash   ARGV slot ms, slots, then for each correction: name, amount, slot or ''
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot = math.floor(now / tonumber(ARGV[1]))
-- All of them, or none: one that is no whole number would leave those before it counted.
for i = 3, #ARGV, 3 do
  local amount = tonumber(ARGV[i + 1])
  if not amount or math.abs(amount) > 2 ^ 53 or amount ~= math.floor(amount) then
    return redis.error_reply('ERR not an amount: ' .. ARGV[i + 1])
  end
end
for i = 3, #ARGV, 3 do
  if tonumber(ARGV[i + 1]) > 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[i] .. ':' .. slot, ARGV[i + 1])
    redis.call('PEXPIRE', KEYS[1], (ARGV[2] + 1) * ARGV[1])
  else
    local field = ARGV[i] .. ':' .. ARGV[i + 2]
    if redis.call('HEXISTS', KEYS[1], field) == 1 then
      redis.call('HINCRBY', KEYS[1], field, ARGV[i + 1])
    end
  end
end
