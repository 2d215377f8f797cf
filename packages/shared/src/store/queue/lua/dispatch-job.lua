-- Chooses the worker for a job that is added while no job waits: of those that offer free slots, the one with the
-- fewest runs. An offer is valid while its worker sends beats: a blocked worker gets no jobs once its last beat is
-- older than `offerMs`.
-- offers, dispatches, beats: keys   channels: prefix of the workers' channels   offerMs: ms for which a beat proves
-- life
-- Returns {worker, number of the dispatch, last number that it may be sent, now (ms)}, or nothing. It does not take
-- the offer: see takeOffer.
local function bestOffer(offers, dispatches, beats, channels, offerMs)
  local time
  -- Offers of dead workers are found and removed here, one after the other.
  for _ = 1, 4 do
    local worker = redis.call('ZREVRANGE', offers, 0, 0)[1]
    if not worker then return end
    local known = redis.call('HMGET', dispatches, '@dispatches.sent' .. worker, '@dispatches.last' .. worker)
    local sent, last = tonumber(known[1]), tonumber(known[2])
    local beat = tonumber(redis.call('HGET', beats, worker) or 0)
    time = time or redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if sent and last and sent < last and now - beat <= offerMs
      and redis.call('PUBSUB', 'SHARDNUMSUB', channels .. worker)[2] > 0 then
      return {worker, sent + 1, last, now}
    end
    redis.call('ZREM', offers, worker)
    -- With its next beat the worker learns from this that its offer is gone.
    redis.call('HDEL', dispatches, '@dispatches.last' .. worker)
  end
end

local function takeOffer(offers, dispatches, offer)
  local worker, number, last = unpack(offer)
  redis.call('HSET', dispatches, '@dispatches.sent' .. worker, string.format('%.0f', number))
  if number < last then redis.call('ZINCRBY', offers, -1, worker)
  else redis.call('ZREM', offers, worker) end
end
