#!lua flags=allow-oom
-- Adds one answer to an inquiry. It is a script only because a full Redis refuses RPUSH, and that is when operators look. The
-- data is bounded, lives for a second, and is written neither to the append-only file nor to replicas.
-- KEYS answers
-- ARGV text, ttl (ms)
local answers = KEYS[1]
local text, ttl = unpack(ARGV)
if redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('RPUSH', answers, text)
redis.call('PEXPIRE', answers, ttl)
