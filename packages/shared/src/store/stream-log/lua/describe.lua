#!lua flags=allow-oom
-- What a request is and where its log ends; with an inbox, subscribes it first.
-- KEYS request, log   ARGV inbox or ''
-- Returns {meta JSON, last line id, terminal kind or '', lines behind the end or ''} or nil
local known = redis.call('HMGET', KEYS[1], 'meta', 'end', 'subs', 'late', 'last')
if not known[1] then return nil end
local subs = known[3] or ''
if ARGV[1] ~= '' and not known[2] and not string.find(' ' .. subs .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
  redis.call('HSET', KEYS[1], 'subs', subs == '' and ARGV[1] or subs .. ' ' .. ARGV[1])
end
local last = '0-0'
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if newest then
  last = newest[1]
  if newest[2][1] == 's' then last = newest[2][4] end
elseif known[5] then
  -- The log is packed.
  last = string.match(known[5], '%S+')
end
return {known[1], last, known[2] or '', known[4] or ''}
