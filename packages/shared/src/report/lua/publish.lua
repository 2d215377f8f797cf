#!lua flags=allow-oom
-- One report of a worker; a script only because a full Redis refuses SET, and that is when operators
-- look. What it adds is bounded: one key for each worker, and each no larger than a report may be.
-- KEYS report   ARGV text, ttl ms
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
