#!lua flags=allow-oom
-- Charges every window of a key, or, where one has not enough left, none. By Redis' own clock: those
-- of the workers differ.
-- KEYS hash with a field `<name>:<slot>` for each slot   ARGV slot ms, slots, then for each charge: name, limit, amount
-- Returns {1, slot, used, …, ms to empty, …} when charged, {0, ms to wait, used, …, ms to empty, …} when not
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local slot = math.floor(now / length)
local fields, held, dead = redis.call('HGETALL', KEYS[1]), {}, {}
for i = 1, #fields, 2 do
  local name, at = string.match(fields[i], '^(.*):(%d+)$')
  at = tonumber(at)
  if at < slot - count then
    dead[#dead + 1] = fields[i]
  else
    held[name] = held[name] or {}
    table.insert(held[name], {at, tonumber(fields[i + 1])})
  end
end
if #dead > 0 then redis.call('HDEL', KEYS[1], unpack(dead)) end

local wait, reply, resets = 0, {1, slot}, {}
for i = 3, #ARGV, 3 do
  local slots, limit = held[ARGV[i]] or {}, tonumber(ARGV[i + 1])
  local used, newest = 0, 0
  for _, one in ipairs(slots) do
    used = used + one[2]
    if one[2] > 0 then newest = math.max(newest, one[1]) end
  end
  local over = used + math.min(tonumber(ARGV[i + 2]), limit) - limit
  reply[#reply + 1] = used
  resets[#resets + 1] = newest > 0 and (newest + count + 1) * length - now or 0
  if over > 0 then
    table.sort(slots, function(a, b) return a[1] < b[1] end)
    local free
    for _, one in ipairs(slots) do
      over = over - one[2]
      if over <= 0 then
        free = (one[1] + count + 1) * length - now
        break
      end
    end
    wait = math.max(wait, free or count * length)
  end
end
if wait > 0 then
  reply[1], reply[2] = 0, wait
  for _, one in ipairs(resets) do reply[#reply + 1] = one end
  return reply
end
for i = 3, #ARGV, 3 do
  local amount = math.min(tonumber(ARGV[i + 2]), tonumber(ARGV[i + 1]))
  redis.call('HINCRBY', KEYS[1], ARGV[i] .. ':' .. slot, amount)
  reply[2 + i / 3] = reply[2 + i / 3] + amount
  resets[i / 3] = (slot + count + 1) * length - now
end
for _, one in ipairs(resets) do reply[#reply + 1] = one end
redis.call('PEXPIRE', KEYS[1], (count + 1) * length)
return reply
