-- Asks every worker on the list for a report, on the channel where it hears of its requests.
-- KEYS beats   ARGV channel prefix, question   Returns how many heard it.
local channel, question = ARGV[1], ARGV[2]
local heard = 0
for _, worker in ipairs(redis.call('HKEYS', KEYS[1])) do
  heard = heard + redis.call('SPUBLISH', channel .. worker, question)
end
return heard
