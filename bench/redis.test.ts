import { expect, it } from 'vitest';
import { parseInfo, readRedis, redisUrlBelow } from './redis.ts';
import { startRedis } from '../test/kit/redis.ts';

it('the figures of an INFO are found by their whole names', () => {
  const info = [
    'used_memory:1000',
    'used_memory_human:1K',
    'aof_current_size:77',
    'total_commands_processed:12',
    'cmdstat_xadd:calls=5,usec=1,usec_per_call=0.2',
    'cmdstat_evalsha:calls=3,usec=1,usec_per_call=0.3',
    'cmdstat_eval:calls=1,usec=1,usec_per_call=1',
  ].join('\r\n');
  expect(parseInfo(info)).toEqual({ commands: 12, xadds: 5, scripts: 4, memory: 1000, aof: 77 });
});

it('a Redis is found below a process, and entries are counted that scripts add', async () => {
  await using redis = await startRedis();
  const url = await redisUrlBelow(process.pid);
  expect(url).toBe(redis.url);
  const before = await readRedis(url);
  await redis.connect().eval("redis.call('xadd', KEYS[1], '*', 'a', 'b')", 1, 'log');
  const after = await readRedis(url);
  expect(after.xadds - before.xadds).toBe(1);
  expect(after.scripts - before.scripts).toBe(1);
  expect(after.aof).toBeGreaterThan(before.aof);
});
