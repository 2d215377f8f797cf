#!lua flags=allow-oom
-- Appends to many logs of one shard and shows the same lines to the ingresses that read them:
-- log before show, in one step.
-- KEYS request, log, body for each item
-- ARGV tag, then for each item: nonce, last id, header for the inbox, lines, terminal kind or '',
-- retention ms, entries before it
-- Returns one status for each item: 1 written, 0 duplicate, -1 gone, -2 fenced, -3 ended, -4 lost,
-- -5 damaged: a key is not of its type, and the others of the batch must not suffer for it
local status, shown, inboxes = {}, {}, {}
for i = 1, #KEYS / 3 do
  local request, log, a = KEYS[3 * i - 2], KEYS[3 * i - 1], 7 * i - 6
  local known = redis.pcall('HMGET', request, 'nonce', 'end', 'subs', 'once')
  if known.err then
    status[i] = -5
  elseif not known[1] then
    -- A request without its run lost that with Redis' last writes.
    status[i] = redis.call('EXISTS', request) == 1 and -4 or -1
  elseif known[1] ~= ARGV[a + 1] then
    status[i] = -2
  elseif known[2] then
    -- A re-sent terminal write finds itself; a line from outside can have the same id.
    local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    status[i] = newest and newest[1] == ARGV[a + 2] and newest[2][2] == ARGV[a + 4] and 0 or -3
  else
    local before = redis.pcall('XLEN', log)
    local isThere = type(before) == 'number' and before > 0
    -- Nothing ever leaves a log, and its run counts what is in it: fewer are those before a failover.
    local isWhole = isThere and before >= tonumber(ARGV[a + 7])
    local written = isWhole and redis.pcall('XADD', log, ARGV[a + 2], 'e', ARGV[a + 4])
    if type(before) ~= 'number' then
      status[i] = -5
    elseif not isThere then
      -- Its life ended.
      status[i] = -1
    elseif not isWhole then
      status[i] = -4
    elseif type(written) == 'table' and written.err then
      -- The nonce is mine, so a refused id can only be my own write that came through before.
      status[i] = string.find(written.err, 'equal or smaller') and 0 or -1
    else
      status[i] = 1
      if ARGV[a + 5] ~= '' then
        redis.call('HSET', request, 'end', ARGV[a + 5])
        redis.call('PEXPIRE', request, ARGV[a + 6])
        redis.call('PEXPIRE', log, ARGV[a + 6])
        redis.call('UNLINK', KEYS[3 * i])
        -- The Idempotency-Key lives as long as its answer; it is in the same slot.
        if known[4] then redis.call('PEXPIRE', known[4], ARGV[a + 6]) end
      end
      for inbox in string.gmatch(known[3] or '', '%S+') do
        if not shown[inbox] then
          shown[inbox] = {}
          inboxes[#inboxes + 1] = inbox
        end
        local frames = shown[inbox]
        frames[#frames + 1] = ARGV[a + 3]
        frames[#frames + 1] = ARGV[a + 4]
      end
    end
  end
end
for _, inbox in ipairs(inboxes) do
  redis.call('SPUBLISH', ARGV[1] .. ':inbox:' .. inbox, table.concat(shown[inbox], '\n'))
end
return status
