#!lua flags=allow-oom
-- Stores one report of a worker. It is a script only because a full Redis refuses SET, and that is when operators
-- look. Its data is bounded: one key for each worker, and a report has a size limit. It is not written to the
-- append-only file or to replicas, because the next question brings a newer report.
-- KEYS report, then the answer counts of the questions that it answers
-- ARGV text, ttl (ms), ttl of the answer counts (ms)
local report = KEYS[1]
local text, ttl, answersTtl = unpack(ARGV)
local firstAnswers = 2
if redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('SET', report, text, 'PX', ttl)
for i = firstAnswers, #KEYS do
  redis.call('INCR', KEYS[i])
  redis.call('PEXPIRE', KEYS[i], answersTtl)
end
