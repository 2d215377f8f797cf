#!lua flags=no-writes
-- Reads the entries after a cursor, oldest first: as many as hold no more bytes than asked for, and at least one. It cuts
-- no entry: Lua takes longer to count the lines of half a megabyte than Redis takes to send them.
-- KEYS log
-- ARGV cursor, most bytes, 1 to return times or 0
-- Returns {1 if there may be more or 0, end, then for each entry the id of its last line, its lines, and
-- its time (ms since the epoch) or '' if asked for}; a seal is
-- `<run>-0` with the line before its run. `end` is the newest line of a log with nothing after the cursor, else ''. nil if
-- there is no log.
local log = KEYS[1]
local cursor, max, timed = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local reply, entries, bytes = {0, ''}, 0, 0
local count, from = 1, '(' .. cursor
repeat
  local page = redis.call('XRANGE', log, from, '+', 'COUNT', count)
  for _, entry in ipairs(page) do
    local id, fields = entry[1], entry[2]
    local text = fields[2]
    if fields[1] == '@entry.seal' then
      text = fields[4]
    else
      bytes = bytes + #text
      if entries > 0 and bytes > max then
        reply[1] = 1
        return reply
      end
      entries = entries + 1
    end
    reply[#reply + 1] = id
    reply[#reply + 1] = text
    if timed then reply[#reply + 1] = fields[1] == '@entry.lines' and fields[4] or '' end
    from = '(' .. id
  end
  local whole = #page < count
  if entries > 0 then
    -- Reads as many as should fit, judging by those so far, so that Redis reads few entries that are not used.
    local wanted = math.floor((max - bytes) * entries / bytes)
    if wanted < 1 and not whole then
      reply[1] = 1
      return reply
    end
    count = math.max(1, math.min(wanted, 8 * count))
  else
    -- Only seals so far, of runs that wrote nothing.
    count = 8
  end
until whole
if #reply > 2 then return reply end
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if not newest then return nil end
reply[2] = newest[2][1] == '@entry.seal' and newest[2][4] or newest[1]
return reply
