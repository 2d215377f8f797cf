-- Sends an inquiry to processes, on the channels on which they receive their other messages.
-- KEYS answers
-- ARGV message, channels
-- Returns how many processes received it.
local message = ARGV[1]
local firstChannel = 2
local heard = 0
for i = firstChannel, #ARGV do
  heard = heard + redis.call('SPUBLISH', ARGV[i], message)
end
return heard
