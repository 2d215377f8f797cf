#!lua flags=allow-oom
-- Ends a request from outside its run: the terminal line takes the next free id, and Redis refuses the run's next
-- write. A message notifies the run's worker at once.
-- KEYS request, log, body
-- ARGV tag, id, line, terminal kind, retention (ms), leaving caller or '', 'free' to free the request's idempotency
--      key, most ledger entries (0: no ledger), most ended jobs
-- Returns {'finished'}, {'ended', kind}, {'gone'}, or {'shared'} while other callers are present.
--- @include "add-to-ledger"
--- @include "add-ended-job"
local request, log, body = unpack(KEYS)
local tag, id, line, kind, retention, leaver, key, ledger, mostEnded = unpack(ARGV)
local known = redis.call('HMGET', request, '@request.meta', '@request.end', '@request.readers',
  '@request.worker', '@request.once', '@request.callers', '@request.webhook',
  '@request.keepsBody')
if not known[1] then return {'gone'} end
if known[2] then return {'ended', known[2]} end
local subs, worker, once, callers = known[3] or '', known[4], known[5], known[6]
if leaver ~= '' and callers then
  local kept, others = {}, false
  for caller in string.gmatch(callers, '%S+') do
    if caller ~= leaver then
      kept[#kept + 1] = caller
      -- A caller without an inbox never leaves; a caller whose ingress is dead has left.
      local inbox = string.match(caller, '^(.*)/')
      others = others or inbox == '' or redis.call('PUBSUB', 'SHARDNUMSUB', tag .. '@key.inbox' .. inbox)[2] > 0
    end
  end
  redis.call('HSET', request, '@request.callers', table.concat(kept, ' '))
  if others then return {'shared'} end
end
local prev, run, seq = '0-0', '0', 0
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if newest then
  prev = newest[1]
  run, seq = string.match(prev, '(%d+)-(%d+)')
  if newest[2][1] == '@entry.seal' then prev = newest[2][4] end
end
local last = string.format('%s-%d', run, seq + 1)
redis.call('XADD', log, last, '@entry.lines', line)
redis.call('HSET', request, '@request.end', kind)
redis.call('PEXPIRE', request, retention)
redis.call('PEXPIRE', log, retention)
if known[8] then redis.call('PEXPIRE', body, retention) else redis.call('UNLINK', body) end
if ledger ~= '0' then addToLedger(tag, ledger, id, request, line, '') end
if known[7] then addEndedJob(tag, mostEnded, request, line) end
if once and key == 'free' then redis.call('UNLINK', once)
elseif once then redis.call('PEXPIRE', once, retention) end
local frame = id .. ' ' .. prev .. ' ' .. last .. ' 1\n' .. line
for inbox in string.gmatch(subs, '%S+') do
  redis.call('SPUBLISH', tag .. '@key.inbox' .. inbox, frame)
end
if worker then redis.call('SPUBLISH', tag .. '@key.worker' .. worker, id) end
return {'finished'}
