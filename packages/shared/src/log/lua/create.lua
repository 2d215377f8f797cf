-- Makes a request known and stores its body. Refused by Redis itself when it is out of memory.
-- KEYS request, body   ARGV meta JSON, inbox or '', body, ttl ms
-- Re-sent after a lost connection it changes nothing: others may have subscribed, or it has ended.
if redis.call('HSETNX', KEYS[1], 'meta', ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'subs', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
