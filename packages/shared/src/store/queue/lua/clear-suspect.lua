-- A suspect has shown a part of its answer: from here on it is a job like any other of its model.
-- KEYS job, its lock   ARGV token, model
-- Returns 0 when the job is not the token's any more.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[2])
return 1
