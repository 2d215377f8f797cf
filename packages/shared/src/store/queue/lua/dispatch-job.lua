-- Which worker gets a job that comes while nobody waits: the one with the most free places of those that offer some.
-- An offer stands for as long as its worker's heart beats: one that stands still is sent nothing a moment later.
-- offers, dispatches, beats: keys   channels: prefix of the workers' channels   stands: ms since the last beat
-- Returns {worker, number of the dispatch, free places, last number that it may be sent, now (ms)}, or nothing. Nothing
-- is taken by it: see takeOffer.
local function bestOffer(offers, dispatches, beats, channels, stands)
  local time
  -- Those of dead workers are met here, one after the other.
  for _ = 1, 4 do
    local best = redis.call('ZREVRANGE', offers, 0, 0, 'WITHSCORES')
    local worker = best[1]
    if not worker then return end
    local known = redis.call('HMGET', dispatches, 'sent:' .. worker, 'last:' .. worker)
    local sent, last = tonumber(known[1]), tonumber(known[2])
    local beat = tonumber(redis.call('HGET', beats, worker) or 0)
    time = time or redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if sent and last and sent < last and now - beat <= stands
      and redis.call('PUBSUB', 'SHARDNUMSUB', channels .. worker)[2] > 0 then
      return {worker, sent + 1, tonumber(best[2]), last, now}
    end
    redis.call('ZREM', offers, worker)
    -- From this it learns, with its next beat, that its offer is gone.
    redis.call('HDEL', dispatches, 'last:' .. worker)
  end
end

local function takeOffer(offers, dispatches, offer)
  local worker, number, free, last = unpack(offer)
  redis.call('HSET', dispatches, 'sent:' .. worker, string.format('%.0f', number))
  if number < last and free > 1 then redis.call('ZADD', offers, free - 1, worker)
  else redis.call('ZREM', offers, worker) end
end
