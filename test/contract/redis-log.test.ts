import { queueName } from '@millrace/shared/store/keys';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { keysOf, lifetimeMs, openRedisLog, retentionMs } from './log-adapters.ts';
import type { RedisLogUnderTest } from './log-adapters.ts';
import { cancelledLine, doneLine, metaOf, readAll, record, show, startRun } from './log-steps.ts';

// What only the log on Redis can promise: ends of life, memory, scripts.

type Run = Awaited<ReturnType<typeof startRun>>;

let server: TestRedis;
let one: RedisLogUnderTest;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(() => {
  one = openRedisLog(server);
});

/** The end of life of each key of a request, in milliseconds; undefined where there is no key. */
async function lives(id: string) {
  const { redis, keys } = one;
  const ttl = async (name: string) => {
    const ms = await redis.pttl(name);
    return ms === -2 ? undefined : ms;
  };
  return {
    request: await ttl(keys.request(id)),
    log: await ttl(keys.log(id)),
    body: await ttl(keys.body(id)),
  };
}

/** Set a moment ago: a little less than that, and more than nothing. */
const about = (ms: number) => {
  const isAbout = (actual: unknown) => Number(actual) > ms - 60_000 && Number(actual) <= ms;
  return expect.toSatisfy(isAbout, `about ${ms} ms`) as number;
};

describe('the end of life', () => {
  it('of a queued request and its body is set with the first write', async () => {
    const id = await one.create('in-1');
    expect(await lives(id)).toEqual({
      request: about(lifetimeMs),
      log: undefined,
      body: about(lifetimeMs),
    });
  });

  it('of all three begins anew when a run starts', async () => {
    const { log, create, redis, keys } = one;
    const id = await create();
    await redis.pexpire(keys.request(id), 1000);
    await redis.pexpire(keys.body(id), 1000);
    await startRun(log, id);
    const whole = {
      request: about(lifetimeMs),
      log: about(lifetimeMs),
      body: about(lifetimeMs),
    };
    expect(await lives(id)).toEqual(whole);
  });

  it('stays while lines are written and inboxes come and go', async () => {
    const { log, create } = one;
    const id = await create();
    const run = await startRun(log, id);
    await run.write('c1');
    await log.subscribe(id, 'in-2');
    await log.unsubscribe(id, 'in-2');
    expect(await lives(id)).toEqual({
      request: about(lifetimeMs),
      log: about(lifetimeMs),
      body: about(lifetimeMs),
    });
  });

  it('is the retention after the end, and the body is gone', async () => {
    const { log, create } = one;
    const ended = await create();
    const run = await startRun(log, ended);
    await run.write('c1');
    await run.end();
    const finished = await create();
    await (await startRun(log, finished)).write('c1');
    await log.finish(finished, cancelledLine, 'cancelled');
    const queued = await create();
    await log.finish(queued, cancelledLine, 'cancelled');
    for (const id of [ended, finished, queued]) {
      expect(await lives(id)).toEqual({
        request: about(retentionMs),
        log: about(retentionMs),
        body: undefined,
      });
    }
  });

  it('is missing on no key at any time', async () => {
    const { log, create, redis, keys } = one;
    const check = async () => {
      for (const name of await keysOf(redis, keys)) {
        // The queue's own book, to which the sweeper gives its end of life: test/system/queue-retention.
        if (name.includes(`:${queueName}:`) && !name.includes('req_')) continue;
        const ttl = await redis.pttl(name);
        if (ttl < 0) throw new Error(`${name} has no end of life`);
      }
    };
    const id = await create('in-1');
    const steps: (() => Promise<unknown>)[] = [];
    const run = await startRun(log, id);
    steps.push(
      () => run.write('c1'),
      () => log.subscribe(id, 'in-2'),
      () => startRun(log, id, 2),
      () => run.write('zombie'),
      () => log.unsubscribe(id, 'in-1'),
      () => log.finish(id, cancelledLine, 'cancelled'),
      () => log.finish(id, cancelledLine, 'cancelled'),
      () => run.end(),
      () => log.seal(id, { activation: 3, nonce: 'late', worker: 'w' }),
      () => log.subscribe(id, 'in-3'),
      async () => log.finish(await create(), cancelledLine, 'cancelled'),
      () => one.expire(id),
      () => run.write('late'),
      () => log.seal(id, { activation: 4, nonce: 'later', worker: 'w' }),
      () => log.finish(id, cancelledLine, 'cancelled'),
      () => log.subscribe(id, 'in-4'),
      () => log.unsubscribe(id, 'in-4'),
      () => log.liveReaders(id),
      () => log.read(id, { run: 0, seq: 0 }, 10_000),
    );
    await check();
    for (const step of steps) {
      await step();
      await check();
    }
    // What is left is the other request, which ended: nothing made the expired one anew.
    const left = await keysOf(redis, keys);
    expect(left.filter((name) => /:(req|log|body):/.test(name))).toHaveLength(2);
  });

  it('of one key alone does not stop the others of an append', async () => {
    const { log, create, redis, keys } = one;
    const [lost, healthy] = [
      await startRun(log, await create()),
      await startRun(log, await create()),
    ];
    await redis.del(keys.log(lost.id));
    const outcomes = await log.append(0, [lost.item(['c1']), healthy.item(['c1'])]);
    expect(outcomes).toEqual(['gone', 'written']);
    await log.finish(lost.id, cancelledLine, 'cancelled');
    await redis.del(keys.log(lost.id));
    const again = await log.append(0, [lost.item(['c1']), healthy.item(['c1'])]);
    expect(again).toEqual(['ended', 'duplicate']);
  });

  it('and a key of another type fails its own request, and no other one of an append', async () => {
    const { log, create, redis, keys } = one;
    const runs = await Promise.all(
      Array.from({ length: 3 }, async () => startRun(log, await create())),
    );
    const [hash, stream, healthy] = runs as [Run, Run, Run];
    await redis.set(keys.request(hash.id), 'no hash');
    await redis.set(keys.log(stream.id), 'no stream');
    const items = [hash, stream, healthy].map((run) => run.item(['c1']));
    expect(await log.append(0, items)).toEqual(['damaged', 'damaged', 'written']);
    await redis.del(keys.request(hash.id), keys.log(stream.id));
  });
});

describe('out of memory', () => {
  afterEach(() => one.redis.config('SET', 'maxmemory', '0'));

  it('new requests are refused, and running ones end properly', async () => {
    const { log, create, redis } = one;
    const inbox = await record(one);
    const [streaming, queued, waiting] = [
      await create(inbox.name),
      await create(inbox.name),
      await create(),
    ];
    const run = await startRun(log, streaming);
    await run.write('c1');
    await redis.config('SET', 'maxmemory', '1');

    const refused = metaOf();
    await expect(one.submit(newRequest(refused))).rejects.toThrow('OOM');
    expect(await log.describe(refused.id)).toBeUndefined();

    expect(await run.write('c2')).toBe('written');
    expect(show(await readAll(log, streaming))).toEqual(['1-1 c1', '1-2 c2']);
    expect(await run.end()).toBe('written');
    const taken = await startRun(log, waiting);
    expect(await log.subscribe(waiting, inbox.name)).toBeDefined();
    expect(await taken.write('c1')).toBe('written');
    await log.unsubscribe(waiting, inbox.name);
    expect(await log.finish(queued, cancelledLine, 'cancelled')).toEqual({ kind: 'finished' });
    await inbox.until(() => inbox.texts(queued).length > 0);
    expect(inbox.texts(streaming)).toEqual(['c1', 'c2', doneLine]);
    expect(inbox.texts(waiting)).toEqual(['c1']);
  });
});

describe('scripts', () => {
  it('that Redis has forgotten are sent again', async () => {
    const { log, create, redis } = one;
    const inbox = await record(one);
    const id = await create(inbox.name);
    await redis.script('FLUSH');
    const run = await startRun(log, id);
    await redis.script('FLUSH');
    await run.write('c1');
    await redis.script('FLUSH');
    expect(await log.describe(id)).toBeDefined();
    await redis.script('FLUSH');
    expect(await log.liveReaders(id)).toBe(1);
    await redis.script('FLUSH');
    await log.unsubscribe(id, inbox.name);
    await redis.script('FLUSH');
    await log.finish(id, cancelledLine, 'cancelled');
    await redis.script('FLUSH');
    expect(show(await readAll(log, id))).toEqual(['1-1 c1', `1-2 ${cancelledLine}`]);
  });

  it('never let an inbox that left take one along that came after it', async () => {
    const { log, create, redis } = one;
    const inbox = await record(one);
    const id = await create(inbox.name);
    const run = await startRun(log, id);
    await log.describe(id);
    await redis.script('FLUSH');
    // Of the two only this one is known: the other would be sent a second time, behind it.
    await log.describe(id);
    await Promise.all([log.unsubscribe(id, inbox.name), log.subscribe(id, inbox.name)]);
    await run.write('c1');
    await inbox.settled();
    expect(inbox.texts(id)).toEqual(['c1']);
  });
});
