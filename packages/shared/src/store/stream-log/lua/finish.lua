#!lua flags=allow-oom
-- Ends a request from outside its run: the terminal line takes the next free id, and the run's own
-- next write is refused. The worker that runs it is told at once.
-- KEYS request, log, body
-- ARGV tag, id, line, terminal kind, retention ms, leaving caller or '', 'free' for its idempotency key
-- Returns {'finished'}, {'ended', kind}, {'gone'}, or {'shared'} while other callers are there
local known = redis.call('HMGET', KEYS[1], 'meta', 'end', 'subs', 'worker', 'once', 'callers')
if not known[1] then return {'gone'} end
if known[2] then return {'ended', known[2]} end
if ARGV[6] ~= '' and known[6] then
  local kept, others = {}, false
  for caller in string.gmatch(known[6], '%S+') do
    if caller ~= ARGV[6] then
      kept[#kept + 1] = caller
      -- One without an inbox never leaves; one whose ingress is dead has left without a word.
      local inbox = string.match(caller, '^(.*)/')
      others = others or inbox == ''
        or redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[1] .. ':inbox:' .. inbox)[2] > 0
    end
  end
  redis.call('HSET', KEYS[1], 'callers', table.concat(kept, ' '))
  if others then return {'shared'} end
end
local prev, run, seq = '0-0', '0', 0
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if newest then
  prev = newest[1]
  run, seq = string.match(prev, '(%d+)-(%d+)')
  if newest[2][1] == 's' then prev = newest[2][4] end
end
local last = string.format('%s-%d', run, seq + 1)
redis.call('XADD', KEYS[2], last, 'e', ARGV[3])
redis.call('HSET', KEYS[1], 'end', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('UNLINK', KEYS[3])
if known[5] and ARGV[7] == 'free' then redis.call('UNLINK', known[5])
elseif known[5] then redis.call('PEXPIRE', known[5], ARGV[5]) end
local frame = ARGV[2] .. ' ' .. prev .. ' ' .. last .. ' 1\n' .. ARGV[3]
for inbox in string.gmatch(known[3] or '', '%S+') do
  redis.call('SPUBLISH', ARGV[1] .. ':inbox:' .. inbox, frame)
end
if known[4] then redis.call('SPUBLISH', ARGV[1] .. ':worker:' .. known[4], ARGV[2]) end
return {'finished'}
