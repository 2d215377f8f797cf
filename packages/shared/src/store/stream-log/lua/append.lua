#!lua flags=allow-oom
-- Appends to many logs of one shard, and publishes the same lines to the ingresses that read them: log before show, in one
-- step. Items that end their logs come after the others.
-- KEYS request, log of each item, then the body of each item that ends its log
-- ARGV tag, retention (ms), number of items that do not end, when the lines were sent (ms since the epoch); then for each item: nonce, last id, header for the
--      inbox, lines, entries before it; and for an item that ends: terminal kind, id, how its job ends (token or
--      '' for none, set, value, trace), its terminal line and its facts for the ledger (both '' without a ledger).
--      If an item ends, after them all: most ended jobs, most ledger entries, prefix of the queue's keys, now (ms since
--      the epoch), most finished jobs of a kind, most events
-- Returns one status for each item: 2 written, or a duplicate, and its job has ended; 1 written, 0 duplicate,
-- -1 gone, -2 fenced, -3 ended, -4 lost, -5 damaged (a key has the wrong type; the other items go on).
--- @include "../../queue/lua/end-job"
--- @include "add-to-ledger"
--- @include "add-ended-job"
local tag, retention, plain, at = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local call, try, find = redis.call, redis.pcall, string.find
local book
local count = plain + (#KEYS - 2 * plain) / 3
local status = {}
-- Cached by the text of a request's `subs`: most requests of a batch have the same readers.
local shown, readers = {}, {}

local function refusal(request, log, a, known)
  if known.err then return -5 end
  -- A request without a run lost it with Redis' last writes.
  if not known[1] then return call('EXISTS', request) == 1 and -4 or -1 end
  if known[1] ~= ARGV[a] then return -2 end
  -- A terminal write that is sent again finds itself as the newest line; a line from outside can have the same id.
  local newest = try('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if newest then return newest[1] == ARGV[a + 1] and newest[2][2] == ARGV[a + 3] and 0 or -3 end
  -- The log is packed (pack.lua).
  local own = ARGV[a + 1] .. ' ' .. redis.sha1hex(ARGV[a + 3])
  return call('HGET', request, '@request.last') == own and 0 or -3
end

local function incompleteLog(before)
  if type(before) ~= 'number' then return -5 end
  -- The log has expired.
  if before == 0 then return -1 end
  return -4
end

local function endsJob(a)
  local job = { id = ARGV[a + 6], token = ARGV[a + 7], set = ARGV[a + 8], value = ARGV[a + 9], trace = ARGV[a + 10] }
  if job.token == '' then return false end
  local n = #ARGV
  book = book or { prefix = ARGV[n - 3], now = ARGV[n - 2], most = ARGV[n - 1], events = ARGV[n] }
  -- If BullMQ's own keys are damaged, the line stays written, and the other items continue.
  local isDone, hasEnded = pcall(endJob, job, book)
  return isDone and hasEnded
end

local function lastLine(lines)
  -- A pattern that is anchored at the end would be tried at each character.
  local fromEnd = find(string.reverse(lines), '\n', 1, true)
  return fromEnd and string.sub(lines, -fromEnd + 1) or lines
end

local a = 5
for i = 1, count do
  local request, log = KEYS[2 * i - 1], KEYS[2 * i]
  local known = try('HMGET', request, '@request.nonce', '@request.end', '@request.readers')
  if known[1] ~= ARGV[a] or known[2] or known.err then
    status[i] = refusal(request, log, a, known)
    if status[i] == 0 and i > plain and endsJob(a) then status[i] = 2 end
  else
    local before = try('XLEN', log)
    -- Entries never leave a log, and its run counts them: fewer entries mean that a failover lost some.
    if type(before) ~= 'number' or before == 0 or before < tonumber(ARGV[a + 4]) then
      status[i] = incompleteLog(before)
    else
      local lines = ARGV[a + 3]
      local written = try('XADD', log, ARGV[a + 1], '@entry.lines', lines, '@entry.at', at)
      if written.err then
        -- The nonce is this run's, so a refused id can only be its own earlier write.
        status[i] = find(written.err, 'equal or smaller', 1, true) and 0 or -1
      else
        status[i] = 1
        if i > plain then
          call('HSET', request, '@request.end', ARGV[a + 5])
          call('PEXPIRE', request, retention)
          call('PEXPIRE', log, retention)
          local body = KEYS[2 * count + i - plain]
          local linked = call('HMGET', request, '@request.once', '@request.webhook', '@request.keepsBody')
          if linked[3] then call('PEXPIRE', body, retention) else call('UNLINK', body) end
          -- The Idempotency-Key expires with its answer; it is in the same slot.
          if linked[1] then call('PEXPIRE', linked[1], retention) end
          if linked[2] then addEndedJob(tag, ARGV[#ARGV - 5], request, lastLine(lines)) end
          if ARGV[a + 11] ~= '' then
            addToLedger(tag, ARGV[#ARGV - 4], ARGV[a + 6], request, ARGV[a + 11], ARGV[a + 12])
          end
          if endsJob(a) then status[i] = 2 end
        end
        local subs = known[3]
        if subs and subs ~= '' then
          local frames = shown[subs]
          if frames then
            local n = #frames
            frames[n + 1] = ARGV[a + 2]
            frames[n + 2] = lines
          else
            shown[subs] = { ARGV[a + 2], lines }
            readers[#readers + 1] = subs
          end
        end
      end
    end
  end
  a = a + (i > plain and 13 or 5)
end
for _, subs in ipairs(readers) do
  local message = table.concat(shown[subs], '\n')
  for inbox in string.gmatch(subs, '%S+') do
    call('SPUBLISH', tag .. '@key.inbox' .. inbox, message)
  end
end
return status
