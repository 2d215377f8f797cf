#!lua flags=allow-oom
-- One beat of a worker; a script only because a full Redis refuses HSET, and that is no death.
-- KEYS beats   ARGV worker, beat, ttl ms
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
