#!lua flags=allow-oom
-- Records one beat of a worker by Redis' own clock (ms). It may run out of memory: a full Redis would refuse a plain HSET,
-- and the reaper would take that for a death.
-- KEYS beats, dispatches
-- ARGV worker, ttl (ms)
-- Returns {beat, number of the last job sent to the worker or false, last number that it may be sent or false}.
local beats, dispatches = KEYS[1], KEYS[2]
local worker, ttl = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local beat = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
-- The list of workers has to survive a restart of Redis, but a beat is obsolete a second later, so the append-only
-- file need not have it.
local isKnown = redis.call('HEXISTS', beats, worker) == 1 and redis.call('PTTL', beats) > ttl / 2
if isKnown and redis.set_repl then redis.set_repl(redis.REPL_NONE) end
redis.call('HSET', beats, worker, beat)
if not isKnown then redis.call('PEXPIRE', beats, ttl) end
-- A key that is damaged costs the worker its offers, not its beat.
local known = redis.pcall('HMGET', dispatches, '@dispatches.sent' .. worker, '@dispatches.last' .. worker)
if known.err then return {beat} end
return {beat, unpack(known)}
