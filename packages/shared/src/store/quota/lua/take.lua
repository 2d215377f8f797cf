#!lua flags=allow-oom
-- Charges every window of a key, or none of them if one has not enough left. It uses Redis' own clock, because those
-- of the processes differ.
-- KEYS windows: a hash with a field `<name>:<slot>` for each slot
-- ARGV length of a slot (ms), slots, then for each charge: name, limit, amount
-- Returns {1, slot, used, …, ms until empty, …} if it charged, {0, ms to wait, used, …, ms until empty, …} if not.
local windows = KEYS[1]
local length, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local firstCharge = 3
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot = math.floor(now / length)
local fields, held, expired = redis.call('HGETALL', windows), {}, {}
for i = 1, #fields, 2 do
  local name, at = string.match(fields[i], '^(.*):(%d+)$')
  at = tonumber(at)
  if at < slot - count then
    expired[#expired + 1] = fields[i]
  else
    held[name] = held[name] or {}
    table.insert(held[name], {at, tonumber(fields[i + 1])})
  end
end
if #expired > 0 then redis.call('HDEL', windows, unpack(expired)) end

local wait, reply, resets = 0, {1, slot}, {}
for i = firstCharge, #ARGV, 3 do
  local name, limit, amount = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local slots = held[name] or {}
  local used, newest = 0, 0
  for _, one in ipairs(slots) do
    used = used + one[2]
    if one[2] > 0 then newest = math.max(newest, one[1]) end
  end
  local over = used + math.min(amount, limit) - limit
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
for i = firstCharge, #ARGV, 3 do
  local name, limit, amount = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local charged = math.min(amount, limit)
  redis.call('HINCRBY', windows, name .. ':' .. slot, charged)
  reply[2 + i / 3] = reply[2 + i / 3] + charged
  resets[i / 3] = (slot + count + 1) * length - now
end
for _, one in ipairs(resets) do reply[#reply + 1] = one end
redis.call('PEXPIRE', windows, (count + 1) * length)
return reply
