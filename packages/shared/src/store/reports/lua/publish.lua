#!lua flags=allow-oom
-- One report of a worker; a script only because a full Redis refuses SET, and that is when operators
-- look. What it adds is bounded: one key for each worker, and each no larger than a report may be.
-- Nothing of it goes to the append-only file or to replicas: the next question brings a newer one.
-- KEYS report, the answers to each question   ARGV text, ttl ms, ttl of the answers (ms)
local text, ttl, answers_ttl = ARGV[1], ARGV[2], ARGV[3]
if redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('SET', KEYS[1], text, 'PX', ttl)
for i = 2, #KEYS do
  redis.call('INCR', KEYS[i])
  redis.call('PEXPIRE', KEYS[i], answers_ttl)
end
