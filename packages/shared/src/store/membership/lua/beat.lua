#!lua flags=allow-oom
-- One beat of a worker: when it was by Redis' own clock, in ms. A full Redis would refuse HSET by itself, and that is no death.
-- KEYS beats, dispatches   ARGV worker, ttl ms
-- Returns {beat, numbers of the last job that the worker was sent and of the last one that it may be sent, or nothing}
local beats, dispatches, worker, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local beat = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
-- Who is on the list has to outlive Redis, but a beat means nothing a second later: it need not be
-- written to the append-only file.
local is_known = redis.call('HEXISTS', beats, worker) == 1 and redis.call('PTTL', beats) > ttl / 2
if is_known and redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('HSET', beats, worker, beat)
if not is_known then redis.call('PEXPIRE', beats, ttl) end
return {beat, unpack(redis.call('HMGET', dispatches, 'sent:' .. worker, 'last:' .. worker))}
