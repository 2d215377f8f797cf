-- Gives a suspect the name of its model back: it has shown a part of its answer, so it is a job like any other.
-- KEYS job, lock
-- ARGV token, model
-- Returns 0 if the token no longer holds the job's lock.
local job, lock = KEYS[1], KEYS[2]
local token, model = ARGV[1], ARGV[2]
if redis.call('GET', lock) ~= token then return 0 end
redis.call('HSET', job, '@bullJob.name', model)
return 1
