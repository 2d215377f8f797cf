#!lua flags=no-writes
-- Lines behind a place, oldest first: as many packs as hold no more bytes than asked for. Of a first pack
-- that holds more, as many of its lines, and one at least.
-- KEYS log   ARGV place, bytes
-- Returns {whether there is more, end, then for each pack the id of its last line and its lines}; a seal
-- is `<run>-0` with the line before its run. `end` is the newest line of a log with nothing behind the
-- place, else ''. nil where there is no log.
local log, max = KEYS[1], tonumber(ARGV[2])

-- The lines of a pack count down from its id, which is that of the last one.
local function cut(id, text)
  local run, last = string.match(id, '(%d+)-(%d+)')
  local afterRun, afterSeq = string.match(ARGV[1], '(%d+)-(%d+)')
  local _, breaks = string.gsub(text, '\n', '')
  local seq, first = last - breaks, 1
  while run == afterRun and seq <= tonumber(afterSeq) do
    first, seq = string.find(text, '\n', first, true) + 1, seq + 1
  end
  local stop = string.find(text, '\n', first, true)
  while stop do
    local following = string.find(text, '\n', stop + 1, true)
    if (following or #text + 1) - first > max then
      return string.format('%s-%d', run, seq), string.sub(text, first, stop - 1)
    end
    stop, seq = following, seq + 1
  end
  return id, string.sub(text, first)
end

local reply, packs, bytes = {0, ''}, 0, 0
local count, from = 1, '(' .. ARGV[1]
-- Returns false once there is no room for more.
local function take(id, fields)
  local text = fields[2]
  if fields[1] == 's' then
    text = fields[4]
  elseif #text <= max - bytes then
    packs, bytes = packs + 1, bytes + #text
  elseif packs > 0 then
    return false
  else
    local last
    last, text = cut(id, text)
    if last ~= id then reply[1] = 1 end
    id, packs, bytes = last, 1, max
  end
  reply[#reply + 1] = id
  reply[#reply + 1] = text
  return true
end
repeat
  local page = redis.call('XRANGE', log, from, '+', 'COUNT', count)
  for _, pack in ipairs(page) do
    if not take(pack[1], pack[2]) then
      reply[1] = 1
      return reply
    end
    from = '(' .. pack[1]
  end
  local whole = #page < count
  -- As many as should fit, going by those so far, and one that tells whether there is more.
  local wanted = packs > 0 and math.ceil((max - bytes) * packs / bytes) + 1 or count
  count = math.max(1, math.min(wanted, 8 * count))
until whole
if #reply > 2 then return reply end
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if not newest then return nil end
reply[2] = newest[2][1] == 's' and newest[2][4] or newest[1]
return reply
