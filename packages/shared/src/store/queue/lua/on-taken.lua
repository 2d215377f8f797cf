-- Counts jobs that a worker took with BullMQ's own script.
-- KEYS prioritized, counts
-- ARGV jobs, bytes, every, score of the front, start of the first band, width of a band, bands, ttl (ms), most jobs scanned,
--      prefix of the jobs' keys, then the skipped models
-- Returns how many jobs went to the front.
--- @include "count-taken"
local prioritized, counts = unpack(KEYS)
local jobs, bytes, every, front, from, width, bands, ttl, most, prefix = unpack(ARGV)
local firstSkipped = 11
local skipped
for i = firstSkipped, #ARGV do
  skipped = skipped or {}
  skipped[ARGV[i]] = true
end
return countTaken({
  prioritized = prioritized, counts = counts, jobs = prefix, every = tonumber(every), front = front,
  from = tonumber(from), width = tonumber(width), bands = tonumber(bands), most = most, skipped = skipped, ttl = ttl,
}, tonumber(jobs), tonumber(bytes))
