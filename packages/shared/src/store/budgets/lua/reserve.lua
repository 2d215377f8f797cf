-- Reserves the amounts of a request, unless a limit of its key is used up.
-- KEYS totals, reservations
-- ARGV id, day, month, cost, tokens, most reservations, longest time without a confirmation (ms; 0: any), ttl (ms), then
--   for each limit: unit, period, limit
-- Returns {'reserved', 'used_up' or 'unconfirmed', then for each limit what is spent and what is reserved}.
local totals, reservations = KEYS[1], KEYS[2]
local id, day, month, cost, tokens, most, patience, ttl = unpack(ARGV, 1, 8)
local firstLimit = 9
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {'reserved'}

local confirmed = tonumber(redis.call('HGET', totals, '@budgets.confirmed') or 0)
if tonumber(patience) > 0 and now - confirmed > tonumber(patience) then reply[1] = 'unconfirmed' end
for i = firstLimit, #ARGV, 3 do
  local name, limit = ARGV[i] .. ':' .. ARGV[i + 1], tonumber(ARGV[i + 2])
  local spent = redis.call('HGET', totals, '@budgets.spent' .. name) or '0'
  local reserved = redis.call('HGET', totals, '@budgets.reserved' .. name) or '0'
  if tonumber(spent) + tonumber(reserved) >= limit then reply[1] = 'used_up' end
  reply[#reply + 1] = spent
  reply[#reply + 1] = reserved
end

-- The client sent the same command again after a lost connection.
if redis.call('HEXISTS', reservations, id) == 1 then
  reply[1] = 'reserved'
  return reply
end
if reply[1] ~= 'reserved' then return reply end

local own = {cost, tokens}
if redis.call('HLEN', reservations) >= tonumber(most) then
  id = '@budgets.shared' .. day
  local shared = redis.call('HGET', reservations, id)
  if shared then
    local before = cjson.decode(shared)
    own = {string.format('%.0f', before[1] + cost), string.format('%.0f', before[2] + tokens)}
  end
end
local record = string.format('["%s","%s","%s","%s",%.0f]', own[1], own[2], day, month, now)
redis.call('HSET', reservations, id, record)
for _, period in ipairs({day, month}) do
  for unit, amount in pairs({usd = cost, tokens = tokens}) do
    if amount ~= '0' then redis.call('HINCRBY', totals, '@budgets.reserved' .. unit .. ':' .. period, amount) end
  end
end
redis.call('PEXPIRE', totals, ttl)
redis.call('PEXPIRE', reservations, ttl)
return reply
