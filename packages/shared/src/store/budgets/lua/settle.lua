#!lua flags=allow-oom
-- Writes what the ledger has of a key, and removes the reservations of requests that it has; neither, if another reading was
-- written since this one began.
-- KEYS totals, reservations
-- ARGV version of the reading, version that was written when it began, ttl (ms), number of periods, for each of them: period, cost, tokens, unpriced; then ids
-- Returns 1 if it has written, or had before.
--- @include "give-back"
local totals, reservations = KEYS[1], KEYS[2]
local version, before, ttl, periods = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local firstPeriod = 5
local firstId = firstPeriod + periods * 4
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local written = redis.call('HGET', totals, '@budgets.written') or ''
-- One reading takes several calls if it ends many reservations.
if written ~= version then
  if written ~= before then return 0 end
  for _, field in ipairs(redis.call('HKEYS', totals)) do
    for _, prefix in ipairs({'@budgets.spent', '@budgets.unpriced'}) do
      if string.sub(field, 1, #prefix) == prefix then redis.call('HDEL', totals, field) end
    end
  end
  for i = firstPeriod, firstId - 1, 4 do
    local period, cost, tokens, unpriced = unpack(ARGV, i, i + 3)
    redis.call('HSET', totals,
      '@budgets.spent' .. '@budgets.usd' .. period, cost,
      '@budgets.spent' .. '@budgets.tokens' .. period, tokens,
      '@budgets.unpriced' .. period, unpriced)
  end
  redis.call('HSET', totals, '@budgets.written', version, '@budgets.confirmed', now)
end
for i = firstId, #ARGV do giveBack(totals, reservations, ARGV[i]) end
redis.call('PEXPIRE', totals, ttl)
redis.call('PEXPIRE', reservations, ttl)
return 1
