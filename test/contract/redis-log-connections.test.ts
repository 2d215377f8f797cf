import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { connectRedis } from '@millrace/shared/store/redis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { lifetimeMs, openRedisLog, retentionMs } from './log-adapters.ts';
import type { RedisLogUnderTest } from './log-adapters.ts';
import {
  appendOne,
  cancelledLine,
  doneLine,
  readAll,
  record,
  show,
  startRun,
} from './log-steps.ts';

// The log on Redis while connections break and Redis itself goes away.

let server: TestRedis;
let one: RedisLogUnderTest;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(() => {
  one = openRedisLog(server);
});

describe('a lost connection', () => {
  /** A log whose connection can be cut, on the store of the others. */
  async function openCuttable() {
    const proxy = await startRedisProxy(server.url);
    const redis = connectRedis(proxy.url, { name: 'cut', role: 'command' });
    onTestFinished(async () => {
      redis.disconnect();
      await proxy.close();
    });
    return { proxy, log: createRedisLog({ redis, keys: one.keys, lifetimeMs, retentionMs }) };
  }

  it('after an append was run has it sent again, and no line is there or shown twice', async () => {
    const { proxy, log } = await openCuttable();
    const inbox = await record(one);
    const id = await one.create(inbox.name);
    const run = await startRun(log, id);
    await run.write('c1');
    const lost = proxy.loseAnswer();
    const outcome = appendOne(log, run.item(['c2', 'c3']));
    await lost;
    expect(await outcome).toBe('duplicate');
    run.last = { run: 1, seq: 3 };
    const lostEnd = proxy.loseAnswer();
    const end = run.end();
    await lostEnd;
    expect(await end).toBe('duplicate');
    await inbox.settled();
    expect(inbox.texts(id)).toEqual(['c1', 'c2', 'c3', doneLine]);
    expect((await readAll(log, id)).map(({ text }) => text)).toEqual(inbox.texts(id));
  });

  it('after a seal was run gives the same run again', async () => {
    const { proxy, log } = await openCuttable();
    const id = await one.create();
    const first = await startRun(log, id, 1);
    await first.write('c1');
    const lost = proxy.loseAnswer();
    const second = startRun(log, id, 2);
    await lost;
    expect(await second).toMatchObject({ run: 2, last: { run: 1, seq: 1 } });
    expect(await (await second).write('c2')).toBe('written');
  });

  it('after a finish was run says that it has ended', async () => {
    const { proxy, log } = await openCuttable();
    const id = await one.create();
    // From here on Redis knows the script: the next answer is that of its run.
    await log.finish(await one.create(), cancelledLine, 'cancelled');
    const lost = proxy.loseAnswer();
    const outcome = log.finish(id, cancelledLine, 'cancelled');
    await lost;
    expect(await outcome).toEqual({ kind: 'ended', by: 'cancelled' });
    expect(show(await readAll(log, id))).toEqual([`0-1 ${cancelledLine}`]);
  });

  it('in the middle of many appends loses and doubles nothing', async () => {
    const { log, create, redis } = one;
    const killer = server.connect();
    const inbox = await record(one);
    const id = await create(inbox.name);
    const run = await startRun(log, id);
    const expected: string[] = [];
    let client = await redis.client('ID');
    for (let i = 0; i < 40; i++) {
      const item = run.item([`c${i}`]);
      const sent = appendOne(log, item);
      if (i % 4 === 0) await killer.client('KILL', 'ID', client);
      expect(['written', 'duplicate']).toContain(await sent);
      client = await redis.client('ID');
      run.last = item.last;
      expected.push(`c${i}`);
    }
    await run.end();
    await inbox.settled();
    expect(inbox.texts(id)).toEqual([...expected, doneLine]);
    expect((await readAll(log, id)).map(({ text }) => text)).toEqual([...expected, doneLine]);
  });

  it('of an inbox is told as a gap once its subscription stands again', async () => {
    const { log, create } = one;
    const killer = server.connect();
    const inbox = await record(one);
    const id = await create(inbox.name);
    const run = await startRun(log, id);
    await run.write('c1');
    await inbox.until(() => inbox.texts(id).length === 1);
    await killer.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await run.write('c2');
    await inbox.until(() => inbox.gaps > 0);
    expect(await log.liveReaders(id)).toBe(1);
    await run.write('c3');
    await inbox.until(() => inbox.texts(id).at(-1) === 'c3');
    expect(show(await readAll(log, id))).toEqual(['1-1 c1', '1-2 c2', '1-3 c3']);
  });
});

describe('a Redis that restarts', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'by %s tells a gap and has lost nothing',
    async (signal) => {
      const { log, create, channels } = one;
      const inbox = await record(one);
      let workerGaps = 0;
      const finished: string[] = [];
      const worker = await channels.openWorker('worker-1', {
        onFinished: (id) => finished.push(id),
        onJobsWaiting: () => {},
        onGap: () => (workerGaps += 1),
      });
      onTestFinished(() => worker.close());
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      await run.write('c1', 'c2');
      await inbox.until(() => inbox.texts(id).length === 2);

      await server.kill(signal);
      // Waits with its connection until Redis is back.
      const meanwhile = run.write('c3');
      await server.start();
      expect(await meanwhile).toBe('written');
      await inbox.until(() => inbox.gaps > 0);
      await expect.poll(() => workerGaps).toBeGreaterThan(0);

      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '1-2 c2', '1-3 c3']);
      expect(await log.liveReaders(id)).toBe(1);
      expect(await channels.countWorkers()).toBe(1);
      await run.write('c4');
      await log.finish(id, cancelledLine, 'cancelled');
      await inbox.until(() => inbox.texts(id).at(-1) === cancelledLine);
      expect(inbox.texts(id).slice(-2)).toEqual(['c4', cancelledLine]);
      await expect.poll(() => finished).toEqual([id]);
      expect(await one.redis.pttl(one.keys.log(id))).toBeGreaterThan(0);
    },
  );
});
