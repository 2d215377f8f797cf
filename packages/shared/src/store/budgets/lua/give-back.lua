-- Removes one reservation of a key, and what it reserved.
local function giveBack(totals, reservations, id)
  local record = redis.call('HGET', reservations, id)
  if not record then return end
  local cost, tokens, day, month = unpack(cjson.decode(record))
  redis.call('HDEL', reservations, id)
  for _, period in ipairs({day, month}) do
    for unit, amount in pairs({usd = cost, tokens = tokens}) do
      local field = '@budgets.reserved' .. unit .. ':' .. period
      -- Redis takes no `-0`.
      if amount ~= '0' and redis.call('HINCRBY', totals, field, '-' .. amount) == 0 then
        redis.call('HDEL', totals, field)
      end
    end
  end
end
