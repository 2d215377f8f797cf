-- Moves a job of a dead worker behind all that wait in its class, as one that may have caused the death: what BullMQ does
-- to move a job from its worker to those that wait, with our score.
-- KEYS job, lock, active, stalled, prioritized, counts, finishes of the class, request, deadlines
-- ARGV id, token, start of the class's band, width of a band, ttl (ms), the job's name from now on, field that counts this,
--      deadline (ms since the epoch) or ''
-- Returns 'back'; 'lost' if the token no longer holds the job; 'ended' if its request has ended meanwhile.
local job, lock, active, stalled, prioritized, counts, finishes, request, deadlines = unpack(KEYS)
local id, token, from, width, ttl, name, field, deadline = unpack(ARGV)
if redis.call('GET', lock) ~= token then return 'lost' end
if redis.call('HEXISTS', request, '@request.end') == 1 then return 'ended' end
if redis.call('LREM', active, 1, id) == 0 then return 'lost' end
redis.call('DEL', lock)
redis.call('SREM', stalled, id)
local place = tonumber(from)
local last = string.format('%.0f', from + width - 1)
local hindmost = redis.call('ZREVRANGEBYSCORE', prioritized, last, from, 'WITHSCORES', 'LIMIT', 0, 1)
if hindmost[2] then
  -- At the end of the band all scores are equal, and Redis orders jobs by id, which means by age.
  place = math.min(hindmost[2] + 1, from + width - 1)
else
  redis.call('DEL', finishes)
  redis.call('HDEL', counts, '@counts.clock' .. from)
  redis.call('HINCRBY', counts, '@counts.beginning' .. from, 1)
end
local score = string.format('%.0f', place)
redis.call('ZADD', prioritized, score, id)
-- put-back.lua needs this.
local beginning = redis.call('HGET', counts, '@counts.beginning' .. from) or '0'
redis.call('HSET', job, '@bullJob.name', name, '@job.place', score, '@job.beginning', beginning)
redis.call('HSET', counts, '@counts.model' .. name, redis.call('HINCRBY', counts, '@counts.placed', 1))
redis.call('PEXPIRE', counts, ttl)
-- Its worker enforced the deadline; from now on the ingresses do.
if deadline ~= '' then
  redis.call('ZADD', deadlines, deadline, id)
  redis.call('PEXPIRE', deadlines, ttl)
end
redis.call('HINCRBY', request, field, 1)
return 'back'
