import { keyspace } from '@millrace/shared/store/keys';
import { reportTtlMs } from '@millrace/shared/store/reports/encode';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createMemoryReports } from '@millrace/shared/store/reports/memory-reports';
import { createRedisReports } from '@millrace/shared/store/reports/redis-reports';
import { startReporting } from '@millrace/shared/store/reports/reporting';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { reportOf, reportsContract } from './reports.contract.ts';

describe('reports in memory', () => {
  reportsContract((options) => {
    const names = new Set<string>();
    return {
      reports: createMemoryReports({
        ...options,
        present: () => names,
        now: () => performance.now(),
      }),
      enlist: async (name) => void names.add(name),
      strike: async (name) => void names.delete(name),
    };
  });
});

describe('reports on Redis', () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  function open(options: { ttlMs?: number } = {}) {
    const keys = keyspace(`test-${crypto.randomUUID().slice(0, 8)}`);
    const redis = server.connect();
    return {
      redis,
      keys,
      reports: createRedisReports({ ...options, redis, keys }),
      enlist: async (name: string) => void (await redis.hset(keys.beats(0), name, '1')),
      strike: async (name: string) => void (await redis.hdel(keys.beats(0), name)),
    };
  }

  reportsContract(open);

  it('have an end of life from their first write', async () => {
    const { redis, keys, reports } = open();
    await reports.publish('a', reportOf(1));
    const left = await redis.pttl(keys.report('a'));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(reportTtlMs);
  });

  it('are those of the moment in which they are asked for', async () => {
    const { redis, keys, reports, enlist } = open();
    let made = 0;
    await enlist('a');
    const reporting = startReporting({
      reports,
      name: 'a',
      make: async () => reportOf((made += 1)),
      onTrimmed: () => {},
      onError: () => {},
    });
    const channels = createRedisChannels({
      keys,
      shards: 1,
      redis,
      connect: () => server.connect(),
      onError: () => {},
    });
    const worker = await channels.openWorker('a', {
      onFinished: () => {},
      onJobsWaiting: () => {},
      onGap: () => {},
      onQuestion: reporting.answer,
    });
    await expect.poll(() => made).toBe(1);
    expect(await createRedisReports({ redis, keys }).readAll()).toMatchObject([{ at: 2 }]);
    expect(await createRedisReports({ redis, keys }).readAll()).toMatchObject([{ at: 3 }]);
    const reader = createRedisReports({ redis, keys });
    const [first, second] = await Promise.all([reader.readAll(), reader.readAll()]);
    // Who comes while the question is answered waits for the same answers.
    expect([first, second]).toMatchObject([[{ at: 4 }], [{ at: 4 }]]);
    await reporting.leave();
    await worker.close();
  });

  it('are the last ones of a worker that does not answer', async () => {
    const { redis, keys, reports, enlist } = open();
    await enlist('busy');
    await reports.publish('busy', reportOf(1));
    const subscriber = server.connect();
    await subscriber.ssubscribe(keys.worker(0, 'busy'));
    expect(await createRedisReports({ redis, keys }).readAll()).toMatchObject([{ at: 1 }]);
  });

  it('are not written to the append-only file', async () => {
    const { redis, reports } = open();
    const offset = async () => {
      const info = await redis.info('replication');
      return /master_repl_offset:(\d+)/.exec(info)?.[1];
    };
    await redis.config('SET', 'appendonly', 'yes');
    await expect.poll(() => redis.info('persistence')).toMatch(/aof_rewrite_in_progress:0/);
    const size = async () => /aof_current_size:(\d+)/.exec(await redis.info('persistence'))?.[1];
    const [before, at] = [await size(), await offset()];
    await reports.publish('a', reportOf(1), ['q']);
    expect([await size(), await offset()]).toEqual([before, at]);
    await redis.set('something', 'else');
    await expect.poll(size).not.toBe(before);
    await redis.config('SET', 'appendonly', 'no');
  });

  it('pass over what they cannot read', async () => {
    const { redis, keys, reports, enlist } = open();
    const texts = ['', '{', 'null', '[]', '{"at":1}', '{"at":"1","metrics":[],"sections":{}}'];
    for (const [i, text] of texts.entries()) {
      await enlist(`bad-${i}`);
      await redis.set(keys.report(`bad-${i}`), text);
    }
    await enlist('good');
    await reports.publish('good', reportOf(1));
    expect(await reports.readAll()).toEqual([{ name: 'good', ...reportOf(1) }]);
  });

  it('are still published when Redis is out of memory', async () => {
    const { redis, reports, enlist } = open();
    await enlist('a');
    await redis.config('SET', 'maxmemory', '1');
    try {
      await reports.publish('a', reportOf(1));
      expect(await reports.readAll()).toHaveLength(1);
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });
});
