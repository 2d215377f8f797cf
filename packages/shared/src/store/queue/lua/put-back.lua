-- Puts a job that was taken, and that nothing was done to, where it stood: as if it had not been taken.
-- What BullMQ does to move a job from its worker to those that wait, with our place. Where its class has
-- begun anew meanwhile, that is its head.
-- KEYS job, its lock, active, stalled, prioritized, counts, finishes of the class, request
-- ARGV id, token, start of the band, width of the band, bytes, ttl ms, model
-- Returns 'back', 'lost' when the job is not the token's any more, 'ended' when its request has ended meanwhile:
-- the job stays as it is then, for its worker to complete.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lost' end
if redis.call('HEXISTS', KEYS[8], 'end') == 1 then return 'ended' end
if redis.call('LREM', KEYS[3], 1, ARGV[1]) == 0 then return 'lost' end
redis.call('DEL', KEYS[2])
redis.call('SREM', KEYS[4], ARGV[1])
local from = tonumber(ARGV[3])
local place = from
local head = redis.call('ZRANGEBYSCORE', KEYS[5], ARGV[3], string.format('%.0f', from + ARGV[4] - 1),
  'WITHSCORES', 'LIMIT', 0, 1)
if head[2] then
  -- The first one of a class has no place written down: it is the start of the band.
  local own = redis.call('HMGET', KEYS[1], 'place', 'beginning')
  if own[1] then
    local beginning = redis.call('HGET', KEYS[6], 'beginning:' .. ARGV[3]) or '0'
    place = tonumber(own[2] == beginning and own[1] or head[2])
  end
else
  redis.call('DEL', KEYS[7])
  redis.call('HDEL', KEYS[6], 'clock:' .. ARGV[3])
  redis.call('HINCRBY', KEYS[6], 'beginning:' .. ARGV[3], 1)
end
redis.call('ZADD', KEYS[5], string.format('%.0f', place), ARGV[1])
redis.call('HSET', KEYS[6], 'model:' .. ARGV[7], redis.call('HINCRBY', KEYS[6], 'placed', 1))
-- Only who takes it for the first time counts its bytes.
if redis.call('HINCRBY', KEYS[1], 'ats', -1) == 0 then
  local bytes = redis.call('HINCRBY', KEYS[6], 'bytes', ARGV[5])
  if bytes <= tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[6], ARGV[6]) end
end
return 'back'
