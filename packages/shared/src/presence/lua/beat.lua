#!lua flags=allow-oom
-- One beat of a worker; a script only because a full Redis refuses HSET, and that is no death.
-- KEYS beats   ARGV worker, beat, ttl ms
local beats, worker, beat, ttl = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
-- Who is on the list has to outlive Redis, but a beat means nothing a second later: it need not be
-- written to the append-only file.
local is_known = redis.call('HEXISTS', beats, worker) == 1 and redis.call('PTTL', beats) > ttl / 2
if is_known and redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('HSET', beats, worker, beat)
if not is_known then redis.call('PEXPIRE', beats, ttl) end
