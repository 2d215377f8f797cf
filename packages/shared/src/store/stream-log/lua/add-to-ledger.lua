-- Adds an ended request to its shard's ledger stream, from which the control plane takes it into a database.
-- `line`: its terminal line, '' if an earlier entry has it. `facts`: what its worker knows (domain/ledger.ts), or ''.
local function addToLedger(tag, most, id, request, line, facts)
  local known = redis.call('HMGET', request, '@request.meta', '@request.run')
  local entry = { '@ledger.id', id, '@ledger.meta', known[1], '@ledger.run', known[2] or '0' }
  if line ~= '' then
    entry[#entry + 1] = '@ledger.end'
    entry[#entry + 1] = line
  end
  if facts ~= '' then
    entry[#entry + 1] = '@ledger.facts'
    entry[#entry + 1] = facts
  end
  -- A key of the wrong type must not keep a request from ending: pcall.
  local waiting = redis.pcall('XLEN', tag .. '@key.ledger')
  local hasRoom = type(waiting) == 'number' and waiting < tonumber(most)
  if not hasRoom or redis.pcall('XADD', tag .. '@key.ledger', '*', unpack(entry)).err then
    redis.pcall('HINCRBY', tag .. '@key.counts', '@counts.ledgerDropped', 1)
  end
end
