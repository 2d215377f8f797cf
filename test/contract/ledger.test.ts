import { maxLedgerBacklog } from '@millrace/shared/domain/ledger';
import { shardOf } from '@millrace/shared/store/keys';
import { createRedisLedger } from '@millrace/shared/store/ledger/redis-ledger';
import type { LedgerQueue } from '@millrace/shared/store/ledger/port';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { lifetimeMs, openRedisLog, retentionMs } from './log-adapters.ts';
import { appendOne, at, cancelledLine, doneLine, startRun } from './log-steps.ts';

// The ledger entries that scripts write when a request ends, and how a consumer takes them.

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server?.close());

type Opened = ReturnType<typeof openRedisLog>;
let opened: Opened;
let log: StreamLog;
let damaged: string[];
beforeEach(() => {
  opened = openRedisLog(server);
  const { redis, keys } = opened;
  log = createRedisLog({ redis, keys, lifetimeMs, retentionMs, hasLedger: true });
  damaged = [];
});

const facts = JSON.stringify({ attempts: [], user: 'ada' });

function consume(consumer: string): LedgerQueue {
  const queue = createRedisLedger({
    redis: opened.redis,
    keys: opened.keys,
    shards: 1,
    consumer,
    connect: () => server.connect(),
    onDamaged: (entryId) => damaged.push(entryId),
  });
  onTestFinished(() => queue.close());
  return queue;
}

const none = new AbortController().signal;
const take = async (queue: LedgerQueue, count = 10) => queue.take(0, count, none);

/** Everything that is there: a take that would wait is aborted. */
async function takeNow(queue: LedgerQueue) {
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(), 200);
  try {
    return await queue.take(0, 10, enough.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** A request that its run ends. */
async function endByRun(withFacts = true): Promise<string> {
  const id = await opened.create();
  const { nonce, last, entries } = await startRun(log, id);
  const item = {
    id,
    nonce,
    prev: last,
    entries,
    last: at(1, 2),
    lines: ['c{"a":1}', doneLine],
    terminal: 'done' as const,
    ...(withFacts && { facts: () => facts }),
  };
  expect(await appendOne(log, item)).toBe('written');
  expect(await appendOne(log, item)).toBe('duplicate');
  return id;
}

describe('a request that ends', () => {
  test('by its run has one entry with its meta, its end and its facts, also if the write is sent again', async () => {
    const id = await endByRun();
    const [one, ...others] = await take(consume('a'));
    expect(others).toEqual([]);
    expect(one?.entry).toMatchObject({
      id,
      meta: { id, model: 'gpt-4o' },
      end: { kind: 'done', data: { finishReason: 'stop', at: 1 } },
      facts: { user: 'ada' },
    });
  });

  test('by its run has none without facts: this fleet keeps no ledger', async () => {
    await endByRun(false);
    expect(await opened.redis.exists(opened.keys.ledger(0))).toBe(0);
  });

  test('from outside has one without facts, and its run adds them once', async () => {
    const id = await opened.create();
    const run = await startRun(log, id);
    await log.finish(id, cancelledLine, 'cancelled');
    await log.finish(id, cancelledLine, 'cancelled');
    await log.amend(id, run.nonce, ['e1'], facts);
    await log.amend(id, run.nonce, ['e1'], facts);
    const taken = await take(consume('a'));
    expect(taken.map(({ entry }) => entry)).toMatchObject([
      { id, end: { kind: 'cancelled' }, facts: undefined },
      { id, end: undefined, facts: { user: 'ada' } },
    ]);
  });

  test('has none while too many wait for the database, and is counted', async () => {
    const { redis, keys } = opened;
    const fill = `for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'a', '') end`;
    await redis.eval(fill, 1, keys.ledger(0), maxLedgerBacklog);
    const id = await endByRun();
    expect(await log.describe(id)).toMatchObject({ ended: 'done' });
    expect(await consume('a').backlog()).toEqual({ waiting: maxLedgerBacklog, dropped: 1 });
  });

  test('ends also where the key of the ledger has the wrong type', async () => {
    await opened.redis.set(opened.keys.ledger(0), 'broken');
    const id = await endByRun();
    expect(await log.describe(id)).toMatchObject({ ended: 'done' });
  });
});

describe('a consumer', () => {
  test('takes what came before it, and waits for what comes', async () => {
    const before = await endByRun();
    const queue = consume('a');
    const first = await take(queue);
    await queue.done(0, first);
    const waiting = take(queue);
    const after = await endByRun();
    const second = await waiting;
    await queue.done(0, second);
    expect([...first, ...second].map(({ entry }) => entry.id)).toEqual([before, after]);
    expect(await queue.backlog()).toEqual({ waiting: 0, dropped: 0 });
  });

  test('that dies before it is done leaves its entries to another one', async () => {
    const id = await endByRun();
    const [lost] = await take(consume('dead'));
    expect(lost?.entry.id).toBe(id);
    // Ten seconds later.
    const { redis, keys } = opened;
    const entryId = lost?.entryId ?? '';
    await redis.xclaim(keys.ledger(shardOf(id)), 'ledger', 'dead', 0, entryId, 'IDLE', 10_000);
    const other = consume('alive');
    const taken = await take(other);
    expect(taken.map(({ entry }) => entry.id)).toEqual([id]);
    await other.done(0, taken);
    expect(await takeNow(consume('third'))).toEqual([]);
  });

  test('leaves entries that another one has at work alone', async () => {
    await endByRun();
    const first = consume('a');
    const taken = await take(first);
    expect(await takeNow(consume('b'))).toEqual([]);
    await first.done(0, taken);
  });

  test('removes an entry that it cannot read, reports it, and takes the others', async () => {
    const { redis, keys } = opened;
    const entryId = await redis.xadd(keys.ledger(0), '*', 'id', 'x', 'meta', '{');
    const id = await endByRun();
    const queue = consume('a');
    expect((await take(queue)).map(({ entry }) => entry.id)).toEqual([id]);
    expect(damaged).toEqual([entryId]);
    expect((await queue.backlog()).waiting).toBe(1);
  });

  test('goes on when Redis has lost the stream and its group', async () => {
    const queue = consume('a');
    await queue.done(0, await takeNow(queue));
    await opened.redis.del(opened.keys.ledger(0));
    const id = await endByRun();
    await expect(take(queue)).rejects.toThrow('NOGROUP');
    expect((await take(queue)).map(({ entry }) => entry.id)).toEqual([id]);
  });
});
