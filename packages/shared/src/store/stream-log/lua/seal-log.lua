-- Takes a log over for one run: writes `<run>-0`, which fences every older run, and then reads.
-- claim: activation, nonce, worker, seal (JSON), ttl (ms), packs and bytes (most entries and bytes of the past)
-- Returns {'sealed', run, id of the last line, body, entries of the log, lines of the past, id of the last of them},
-- (before the lines of each entry a line with its time),
-- {'ended', terminal kind}, {'fenced'} or {'gone'}.
local function sealLog(request, log, body, claim)
  local known = redis.call('HMGET', request, '@request.meta', '@request.end', '@request.run',
    '@request.activation', '@request.nonce', '@request.once')
  if not known[1] then return {'gone'} end
  if known[2] then return {'ended', known[2]} end
  local run, activation = tonumber(known[3] or 0), tonumber(known[4] or 0)
  local mine = known[5] == claim.nonce
  if not mine and tonumber(claim.activation) < activation then return {'fenced'} end
  local text = redis.call('GET', body)
  if not text then return {'gone'} end

  -- The last line before this run; a seal without a line after it names the line before itself.
  local last = '0-0'
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if newest then
    last = newest[1]
    if newest[2][1] == '@entry.seal' then last = newest[2][4] end
  end
  if not mine then
    -- A seal without a line after it is replaced by this one: runs that only waited leave no trace.
    if newest and newest[2][1] == '@entry.seal' then redis.call('XDEL', log, newest[1]) end
    run = math.max(run + 1, tonumber(claim.activation))
    redis.call('XADD', log, run .. '-0', '@entry.seal', claim.seal, '@entry.previous', last)
    local now = redis.call('TIME')
    -- dead-worker-jobs.lua needs the time: a job that a dead worker had just begun may be the cause of the death.
    local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
    redis.call('HSET', request, '@request.run', run, '@request.activation', claim.activation,
      '@request.nonce', claim.nonce, '@request.worker', claim.worker, '@request.sealedAt', at)
  end
  for _, key in ipairs({request, log, body}) do redis.call('PEXPIRE', key, claim.ttl) end
  if known[6] then redis.call('PEXPIRE', known[6], claim.ttl) end
  -- The past comes in the same reply, as one text: a worker that takes over a hundred streams would wait for each round trip.
  local past, through, room = {}, '0-0', tonumber(claim.bytes)
  if last ~= '0-0' then
    for _, pack in ipairs(redis.call('XRANGE', log, '-', '(' .. run .. '-0', 'COUNT', claim.packs)) do
      if pack[2][1] == '@entry.lines' then
        room = room - #pack[2][2]
        if room < 0 then break end
        past[#past + 1] = '@line.time' .. (pack[2][4] or '')
        past[#past + 1] = pack[2][2]
        through = pack[1]
      end
    end
  end
  return {'sealed', run, last, text, redis.call('XLEN', log), table.concat(past, '\n'), through}
end
