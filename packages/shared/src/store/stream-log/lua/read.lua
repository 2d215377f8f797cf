#!lua flags=no-writes
-- Lines behind a place, oldest first: as many packs as hold no more bytes than asked for, and one at least.
-- None is cut: to count the lines of half a megabyte takes Lua longer than to send them.
-- KEYS log   ARGV place, bytes
-- Returns {whether there may be more, end, then for each pack the id of its last line and its lines}; a
-- seal is `<run>-0` with the line before its run. `end` is the newest line of a log with nothing behind
-- the place, else ''. nil where there is no log.
local log, max = KEYS[1], tonumber(ARGV[2])
local reply, packs, bytes = {0, ''}, 0, 0
local count, from = 1, '(' .. ARGV[1]
repeat
  local page = redis.call('XRANGE', log, from, '+', 'COUNT', count)
  for _, pack in ipairs(page) do
    local id, fields = pack[1], pack[2]
    local text = fields[2]
    if fields[1] == 's' then
      text = fields[4]
    else
      bytes = bytes + #text
      if packs > 0 and bytes > max then
        reply[1] = 1
        return reply
      end
      packs = packs + 1
    end
    reply[#reply + 1] = id
    reply[#reply + 1] = text
    from = '(' .. id
  end
  local whole = #page < count
  if packs > 0 then
    -- As many as should fit, going by those so far: none is taken out only to be left there.
    local wanted = math.floor((max - bytes) * packs / bytes)
    if wanted < 1 and not whole then
      reply[1] = 1
      return reply
    end
    count = math.max(1, math.min(wanted, 8 * count))
  else
    -- Seals alone, of runs that wrote nothing.
    count = 8
  end
until whole
if #reply > 2 then return reply end
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if not newest then return nil end
reply[2] = newest[2][1] == 's' and newest[2][4] or newest[1]
return reply
