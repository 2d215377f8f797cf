-- Puts a taken job, whose run did nothing, back at its position, as if no worker had taken it: what BullMQ does to
-- move a job from its worker to those that wait, with our score. If its class has begun anew meanwhile, the job
-- becomes its head.
-- KEYS job, lock, active, stalled, prioritized, counts, finishes of the class, request
-- ARGV id, token, start of the class's band, width of a band, bytes, ttl (ms), model
-- Returns 'back'; 'lost' if the token no longer holds the job; or 'ended' if its request has ended meanwhile: the job
-- stays as it is, and its worker completes it.
local job, lock, active, stalled, prioritized, counts, finishes, request = unpack(KEYS)
local id, token, from, width, bytes, ttl, model = unpack(ARGV)
if redis.call('GET', lock) ~= token then return 'lost' end
if redis.call('HEXISTS', request, '@request.end') == 1 then return 'ended' end
if redis.call('LREM', active, 1, id) == 0 then return 'lost' end
redis.call('DEL', lock)
redis.call('SREM', stalled, id)
local place = tonumber(from)
local last = string.format('%.0f', from + width - 1)
local head = redis.call('ZRANGEBYSCORE', prioritized, from, last, 'WITHSCORES', 'LIMIT', 0, 1)
if head[2] then
  -- The first job of a class has no `place`: it is at the start of the band.
  local own = redis.call('HMGET', job, '@job.place', '@job.beginning')
  if own[1] then
    local beginning = redis.call('HGET', counts, '@counts.beginning' .. from) or '0'
    place = tonumber(own[2] == beginning and own[1] or head[2])
  end
else
  redis.call('DEL', finishes)
  redis.call('HDEL', counts, '@counts.clock' .. from)
  redis.call('HINCRBY', counts, '@counts.beginning' .. from, 1)
end
redis.call('ZADD', prioritized, string.format('%.0f', place), id)
redis.call('HSET', counts, '@counts.model' .. model, redis.call('HINCRBY', counts, '@counts.placed', 1))
-- Only the first activation subtracted its bytes.
if redis.call('HINCRBY', job, '@bullJob.attemptsStarted', -1) == 0 then
  local waiting = redis.call('HINCRBY', counts, '@counts.bytes', bytes)
  if waiting <= tonumber(bytes) then redis.call('PEXPIRE', counts, ttl) end
end
return 'back'
