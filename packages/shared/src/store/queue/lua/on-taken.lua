-- Counts jobs that a worker took with BullMQ's own script.
-- KEYS prioritized, counts
-- ARGV jobs, bytes, every, score of the front, start of the first band, width of a band, bands, ttl ms,
--      how many are looked at, prefix of the jobs' keys, avoided models
-- Returns how many went to the front.
--- @include "count-taken"
local prioritized, counts = unpack(KEYS)
local jobs, bytes, every, front, from, width, bands, ttl, most, prefix = unpack(ARGV)
local avoided
for i = 11, #ARGV do
  avoided = avoided or {}
  avoided[ARGV[i]] = true
end
return countTaken({
  prioritized = prioritized, counts = counts, jobs = prefix, every = tonumber(every), front = front,
  from = tonumber(from), width = tonumber(width), bands = tonumber(bands), most = most, avoided = avoided, ttl = ttl,
}, tonumber(jobs), tonumber(bytes))
