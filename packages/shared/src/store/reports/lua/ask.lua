-- Asks every registered worker for a report, on the channel on which it receives messages about its requests.
-- KEYS beats
-- ARGV prefix of the workers' channels, question
-- Returns how many workers received the question.
local beats = KEYS[1]
local channels, question = ARGV[1], ARGV[2]
local heard = 0
for _, worker in ipairs(redis.call('HKEYS', beats)) do
  heard = heard + redis.call('SPUBLISH', channels .. worker, question)
end
return heard
