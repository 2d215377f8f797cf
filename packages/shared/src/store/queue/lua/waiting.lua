#!lua flags=no-writes
-- Returns the first jobs that wait in one shard, in the order in which workers take them, from a place on.
-- KEYS prioritized, wait
-- ARGV prefix of the jobs' keys, jobs before the first one, most jobs
-- Returns {id, data, …}; the data is '' for a job that is damaged or was taken meanwhile.
local prioritized, wait = KEYS[1], KEYS[2]
local jobs, from, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = {}
local inList = redis.call('LLEN', wait)
if from < inList then
  -- Workers take jobs from the tail of the list.
  local listed = redis.call('LRANGE', wait, -from - most, -from - 1)
  for i = #listed, 1, -1 do ids[#ids + 1] = listed[i] end
end
if #ids < most then
  local first = math.max(0, from - inList)
  for _, id in ipairs(redis.call('ZRANGE', prioritized, first, first + most - #ids - 1)) do ids[#ids + 1] = id end
end
local reply = {}
for _, id in ipairs(ids) do
  local data = redis.pcall('HGET', jobs .. id, '@bullJob.data')
  reply[#reply + 1] = id
  reply[#reply + 1] = type(data) == 'string' and data or ''
end
return reply
