import { setTimeout as sleep } from 'node:timers/promises';
import { packEnded } from '@millrace/shared/store/stream-log/packing';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { createRedisPacking } from '@millrace/shared/store/stream-log/redis-packing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { lifetimeMs, openRedisLog, retentionMs } from './log-adapters.ts';
import type { RedisLogUnderTest } from './log-adapters.ts';
import { at, cancelledLine, readAll, record, show, startRun } from './log-steps.ts';

// What only the log on Redis can promise of packing: memory, ends of life, who else reads.

let server: TestRedis;
let one: RedisLogUnderTest;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(() => {
  one = openRedisLog(server);
});

const chunk = (i: number) =>
  `c{"id":"chatcmpl-sim-000012844","object":"chat.completion.chunk","created":1796025299,"model":"some-model-of-today","system_fingerprint":"simulated","choices":[{"index":0,"delta":{"content":" w${i}"},"logprobs":null,"finish_reason":null}]}`;

async function ended(chunks = 20): Promise<string> {
  const id = await one.create('in-1');
  const run = await startRun(one.log, id);
  for (let i = 0; i < chunks; i += 10) {
    await run.write(...Array.from({ length: Math.min(10, chunks - i) }, (_, j) => chunk(i + j)));
  }
  await run.end();
  return id;
}

/** Of what is kept until the retention ends; jobs are not, there is a bound on their number. */
async function bytesOf(id: string): Promise<number> {
  const names = [one.keys.request(id), one.keys.log(id)];
  const sizes = await Promise.all(names.map((name) => one.redis.memory('USAGE', name)));
  return sizes.reduce<number>((sum, size) => sum + Number(size), 0);
}

describe('packing', () => {
  it('takes away three quarters of what an ended request holds, and keeps its end of life', async () => {
    const { log, redis, keys } = one;
    const id = await ended();
    const before = await bytesOf(id);
    await redis.pexpire(keys.request(id), 50_000);
    expect(await log.pack(0, [id])).toBe(1);
    expect(await bytesOf(id)).toBeLessThan(before / 4);
    expect(await redis.exists(keys.log(id))).toBe(0);
    expect(await redis.pttl(keys.request(id))).toBeGreaterThan(40_000);
    expect(await redis.pttl(keys.request(id))).toBeLessThanOrEqual(50_000);
  });

  it('is undone for readers only for a while, and never for longer than the request lives', async () => {
    const { log, redis, keys } = one;
    const id = await ended();
    const whole = show(await readAll(log, id));
    await log.pack(0, [id]);
    expect(show(await readAll(log, id))).toEqual(whole);
    expect(await redis.pttl(keys.log(id))).toBeGreaterThan(0);
    expect(await redis.pttl(keys.log(id))).toBeLessThanOrEqual(60_000);
    // Its time is over in the middle of a reader's pages.
    await redis.del(keys.log(id));
    expect(show(await readAll(log, id, { after: at(1, 5) }))).toEqual(whole.slice(5));
    await redis.del(keys.log(id));
    await redis.pexpire(keys.request(id), 2000);
    await readAll(log, id);
    expect(await redis.pttl(keys.log(id))).toBeLessThanOrEqual(2000);
  });

  it('of a packed log changes nothing, also while it is unpacked', async () => {
    const { log } = one;
    const id = await ended();
    const whole = show(await readAll(log, id));
    expect(await log.pack(0, [id, id])).toBe(1);
    expect(await log.pack(0, [id])).toBe(0);
    await readAll(log, id);
    expect(await log.pack(0, [id])).toBe(0);
    expect(show(await readAll(log, id))).toEqual(whole);
  });

  it('waits until no ingress was seen for a minute that could not read packed logs', async () => {
    const { redis, keys } = one;
    const clock = { now: 0 };
    const packing = createRedisPacking({ redis, keys, now: () => clock.now });
    const pack = () => packing.pack(0, [id]);
    const channels = () => redis.call('PUBSUB', 'SHARDCHANNELS', keys.inbox(0, 'older'));
    const inbox = await record(one);
    const id = await ended();
    const older = server.connect();
    await older.ssubscribe(keys.inbox(0, 'older'));
    expect(await pack()).toBe(0);
    clock.now += 59_000;
    expect(await pack()).toBe(0); // seen again
    older.disconnect();
    await expect.poll(channels).toEqual([]);
    clock.now += 59_000;
    expect(await pack()).toBe(0);
    expect(await redis.exists(keys.log(id))).toBe(1);
    clock.now += 1000;
    expect(await pack()).toBe(1);
    await inbox.close();
  });

  it('is not misled by a second connection of an ingress that can read packed logs', async () => {
    const { log, redis, keys } = one;
    const inbox = await record(one);
    const id = await ended();
    // As a connection of its that Redis does not know to be dead yet.
    const halfOpen = server.connect();
    await halfOpen.ssubscribe(keys.logReader(0, 'in-1'));
    const older = server.connect();
    await older.ssubscribe(keys.inbox(0, 'older'));
    expect(await log.pack(0, [id])).toBe(0);
    expect(await redis.exists(keys.log(id))).toBe(1);
    halfOpen.disconnect();
    older.disconnect();
    await inbox.close();
  });

  it('leaves a large log alone, and one of another type', async () => {
    const { log, redis, keys } = one;
    const large = await one.create();
    const run = await startRun(log, large);
    for (let i = 0; i < 3; i++) await run.write(`c${'x'.repeat(1024 * 1024)}`);
    await run.end();
    const damaged = await ended();
    await redis.set(keys.log(damaged), 'no stream');
    const hashless = await ended();
    await redis.set(keys.request(hashless), 'no hash');
    const healthy = await ended();
    expect(await log.pack(0, [large, damaged, hashless, healthy])).toBe(1);
    expect(await redis.exists(keys.log(large))).toBe(1);
  });

  it('of many large logs takes several scripts, each for as much as one log may have', async () => {
    const { log, redis } = one;
    const large: string[] = [];
    while (large.length < 3) {
      const id = await one.create();
      const run = await startRun(log, id);
      await run.write(`c${'x'.repeat(900_000)}`);
      await run.end();
      large.push(id);
    }
    const [first, ...small] = [await ended(), await ended(), await ended()];
    expect(await log.pack(0, [first])).toBe(1);
    await redis.config('RESETSTAT');
    expect(await log.pack(0, [...large, ...small])).toBe(5);
    expect(await redis.info('commandstats')).toMatch(/cmdstat_evalsha:calls=2,/);
  });

  it.each([
    ['RESTORE, which undoes it', '-restore'],
    ['MEMORY USAGE', '-memory|usage'],
    ['PUBSUB SHARDCHANNELS', '-pubsub|shardchannels'],
  ])('is left out where the rights do not include %s', async (_what, right) => {
    const { redis, keys } = one;
    await redis.acl('SETUSER', 'narrow', 'reset', 'on', '>pw', '~*', '&*', '+@all', right);
    const narrow = server.connect();
    await narrow.auth('narrow', 'pw');
    const log = createRedisLog({ redis: narrow, keys, lifetimeMs, retentionMs });
    const id = await ended();
    expect(await log.pack(0, [id])).toBe(0);
    expect(await redis.exists(keys.log(id))).toBe(1);
  });

  it('works without memory, and in a Redis that has forgotten its scripts', async () => {
    const { log, redis } = one;
    const id = await ended();
    const whole = show(await readAll(log, id));
    await redis.config('SET', 'maxmemory', '1');
    try {
      expect(await log.pack(0, [id])).toBe(1);
      await redis.script('FLUSH');
      expect(show(await readAll(log, id))).toEqual(whole);
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });

  it('is no hindrance to a failover that loses it', async () => {
    const { log } = one;
    const id = await ended();
    const whole = show(await readAll(log, id));
    const goBack = await one.snapshot();
    await log.pack(0, [id]);
    await goBack();
    expect(show(await readAll(log, id))).toEqual(whole);
    await log.pack(0, [id]);
    const goBackPacked = await one.snapshot();
    await readAll(log, id);
    await goBackPacked();
    expect(show(await readAll(log, id))).toEqual(whole);
  });
});

describe('what ends through a process', () => {
  it('is packed a while later, whoever ended it', async () => {
    const { redis, keys } = one;
    const clock = { now: 0 };
    const packing = packEnded(one.log, {
      onError: (error) => {
        throw error;
      },
      now: () => clock.now,
    });
    one = { ...one, log: packing.log };
    const done = await ended();
    const cancelled = await one.create();
    await packing.log.finish(cancelled, cancelledLine, 'cancelled');
    await packing.log.finish(cancelled, cancelledLine, 'cancelled');
    const running = await startRun(packing.log, await one.create());
    await running.write('c1');
    expect(packing.pending).toBe(2);
    await sleep(300); // a look passes, and their time has not come
    expect(packing.pending).toBe(2);
    clock.now = 10_000;
    await expect.poll(() => packing.pending).toBe(0);
    for (const id of [done, cancelled]) {
      await expect.poll(() => redis.exists(keys.log(id))).toBe(0);
      expect(await redis.hexists(keys.request(id), 'packed')).toBe(1);
    }
    expect(await running.end()).toBe('written');
    packing.stop();
  });

  it.each([
    ['READONLY You can’t write against a read only replica', 2],
    ['ERR something else', 1],
  ])('is tried once more where Redis refuses it for now: %s', async (message, tries) => {
    let clock = 0;
    const errors: unknown[] = [];
    const log = { ...one.log, pack: () => Promise.reject(new Error(message)) };
    const packing = packEnded(log, {
      onError: (error) => errors.push(error),
      now: () => (clock += 5000),
    });
    await packing.log.finish(await one.create(), cancelledLine, 'cancelled');
    await expect.poll(() => errors.length).toBe(tries);
    await expect.poll(() => packing.pending).toBe(0);
    expect(errors).toHaveLength(tries);
    packing.stop();
  });
});
