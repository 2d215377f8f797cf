-- Makes a request known and stores its body. Refused by Redis itself when it is out of memory.
-- KEYS request, body [, idempotency key]
-- ARGV meta JSON, inbox or '', body, ttl ms [, id, fingerprint, caller as `inbox/token`]
-- Returns {'created'}, {'joined', id} or {'conflict'}
-- Re-sent after a lost connection it changes nothing: others may have subscribed, or it has ended.
if KEYS[3] then
  local known = redis.call('HMGET', KEYS[3], 'id', 'request', 'fingerprint')
  -- A key can outlive its request, but stands for nothing then.
  if known[1] and known[1] ~= ARGV[5] and redis.call('EXISTS', known[2]) == 1 then
    if known[3] ~= ARGV[6] then return {'conflict'} end
    local callers = redis.call('HGET', known[2], 'callers') or ''
    if not string.find(' ' .. callers .. ' ', ' ' .. ARGV[7] .. ' ', 1, true) then
      redis.call('HSET', known[2], 'callers', callers .. ' ' .. ARGV[7])
    end
    return {'joined', known[1]}
  end
end
if redis.call('HSETNX', KEYS[1], 'meta', ARGV[1]) == 0 then return {'created'} end
redis.call('HSET', KEYS[1], 'subs', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
if KEYS[3] then
  redis.call('HSET', KEYS[1], 'once', KEYS[3], 'callers', ARGV[7])
  redis.call('HSET', KEYS[3], 'id', ARGV[5], 'request', KEYS[1], 'fingerprint', ARGV[6])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return {'created'}
