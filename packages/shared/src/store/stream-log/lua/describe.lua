#!lua flags=allow-oom
-- Returns a request's meta and the end of its log; with an inbox, subscribes that inbox first.
-- KEYS request, log
-- ARGV inbox or ''
-- Returns {meta JSON, id of the last line, terminal kind or '', lines added after the end or ''} or nil.
local request, log = KEYS[1], KEYS[2]
local inbox = ARGV[1]
local known = redis.call('HMGET', request,
  '@request.meta', '@request.end', '@request.readers', '@request.late', '@request.last')
if not known[1] then return nil end
local subs = known[3] or ''
if inbox ~= '' and not known[2] and not string.find(' ' .. subs .. ' ', ' ' .. inbox .. ' ', 1, true) then
  redis.call('HSET', request, '@request.readers', subs == '' and inbox or subs .. ' ' .. inbox)
end
local last = '0-0'
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if newest then
  last = newest[1]
  if newest[2][1] == '@entry.seal' then last = newest[2][4] end
elseif known[5] then
  -- The log is packed.
  last = string.match(known[5], '%S+')
end
return {known[1], last, known[2] or '', known[4] or ''}
