#!lua flags=allow-oom
-- Takes a log over for one run: writes `<run>-0`, which fences every older run, and then reads.
-- KEYS request, log, body   ARGV activation, nonce, worker, ttl ms, seal JSON, packs and bytes of the past
-- Returns {'sealed', run, last line id, body, entries of the log, past lines, id of the last of them}
-- or {'ended', kind of its end} or {'fenced' | 'gone'}
local known = redis.call('HMGET', KEYS[1], 'meta', 'end', 'run', 'activation', 'nonce', 'once')
if not known[1] then return {'gone'} end
if known[2] then return {'ended', known[2]} end
local run, activation = tonumber(known[3] or 0), tonumber(known[4] or 0)
local mine = known[5] == ARGV[2]
if not mine and tonumber(ARGV[1]) < activation then return {'fenced'} end
local body = redis.call('GET', KEYS[3])
if not body then return {'gone'} end

-- The last line before this run; a seal that nothing followed names the one before itself.
local last = '0-0'
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if newest then
  last = newest[1]
  if newest[2][1] == 's' then last = newest[2][4] end
end
if not mine then
  -- One that nothing followed says no more than this one will: runs that only waited leave no trace.
  if newest and newest[2][1] == 's' then redis.call('XDEL', KEYS[2], newest[1]) end
  run = math.max(run + 1, tonumber(ARGV[1]))
  redis.call('XADD', KEYS[2], run .. '-0', 's', ARGV[5], 'prev', last)
  local now = redis.call('TIME')
  -- For who finds the worker dead: a job that it had just begun may be the cause.
  local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
  redis.call('HSET', KEYS[1], 'run', run, 'activation', ARGV[1], 'nonce', ARGV[2], 'worker', ARGV[3],
    'sealed_at', at)
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
if known[6] then redis.call('PEXPIRE', known[6], ARGV[4]) end
-- In the same answer, as one text: whoever takes a hundred streams over waits for each round trip.
local past, through, room = {}, '0-0', tonumber(ARGV[7])
if last ~= '0-0' then
  for _, pack in ipairs(redis.call('XRANGE', KEYS[2], '-', '(' .. run .. '-0', 'COUNT', ARGV[6])) do
    if pack[2][1] == 'e' then
      room = room - #pack[2][2]
      if room < 0 then break end
      past[#past + 1] = pack[2][2]
      through = pack[1]
    end
  end
end
return {'sealed', run, last, body, redis.call('XLEN', KEYS[2]), table.concat(past, '\n'), through}
