-- Chooses the worker for a job that comes while no other job waits: the one with the most free slots of those that offer
-- some. An offer is valid while its worker beats: a worker that stands still is sent nothing a moment later.
-- offers, dispatches, beats: keys   channels: prefix of the workers' channels   offerMs: ms for which a beat proves life
-- Returns {worker, number of the dispatch, free slots, last number that the worker may be sent, now (ms)}, or nothing. It
-- takes no offer: takeOffer does.
local function bestOffer(offers, dispatches, beats, channels, offerMs)
  local time
  -- Offers of dead workers are found and removed here, one after the other.
  for _ = 1, 4 do
    local best = redis.call('ZREVRANGE', offers, 0, 0, 'WITHSCORES')
    local worker = best[1]
    if not worker then return end
    local known = redis.call('HMGET', dispatches, 'sent:' .. worker, 'last:' .. worker)
    local sent, last = tonumber(known[1]), tonumber(known[2])
    local beat = tonumber(redis.call('HGET', beats, worker) or 0)
    time = time or redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if sent and last and sent < last and now - beat <= offerMs
      and redis.call('PUBSUB', 'SHARDNUMSUB', channels .. worker)[2] > 0 then
      return {worker, sent + 1, tonumber(best[2]), last, now}
    end
    redis.call('ZREM', offers, worker)
    -- The worker learns from this, with its next beat, that its offer is gone.
    redis.call('HDEL', dispatches, 'last:' .. worker)
  end
end

local function takeOffer(offers, dispatches, offer)
  local worker, number, free, last = unpack(offer)
  redis.call('HSET', dispatches, 'sent:' .. worker, string.format('%.0f', number))
  if number < last and free > 1 then redis.call('ZADD', offers, free - 1, worker)
  else redis.call('ZREM', offers, worker) end
end
