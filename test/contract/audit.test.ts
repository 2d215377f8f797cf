import { maxAuditBacklog, maxRefusedBacklog } from '@millrace/shared/domain/audit';
import { createAuditWriter } from '@millrace/shared/store/audit/audit-writer';
import type { AuditWriterOptions, NewAuditEntry } from '@millrace/shared/store/audit/audit-writer';
import { createRedisAuditQueue } from '@millrace/shared/store/audit/redis-audit-queue';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { openRedisLog } from './log-adapters.ts';

// Audit entries on their way to the control plane: written by any process, taken once, bounded.

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server?.close());

let opened: ReturnType<typeof openRedisLog>;
let logged: string[];
beforeEach(() => {
  opened = openRedisLog(server);
  logged = [];
});

const writer = (more: Partial<AuditWriterOptions> = {}) =>
  createAuditWriter({
    redis: opened.redis,
    keys: opened.keys,
    isKept: true,
    isReady: () => true,
    logger: {
      info: (_fields: object, message: string) => void logged.push(`info: ${message}`),
      warn: (_fields: object, message: string) => void logged.push(`warn: ${message}`),
    } as AuditWriterOptions['logger'],
    ...more,
  });

function consume(consumer: string) {
  const queue = createRedisAuditQueue({
    redis: opened.redis,
    keys: opened.keys,
    consumer,
    connect: () => server.connect(),
    onDamaged() {},
  });
  onTestFinished(() => queue.close());
  return queue;
}

const entry = (more: Partial<NewAuditEntry> = {}): NewAuditEntry => ({
  actor: 'ops',
  action: 'key.create',
  outcome: 'ok',
  ...more,
});

/** As after an outage of the database: so many entries wait. */
async function fill(count: number): Promise<void> {
  const { redis, keys } = opened;
  const lua = `for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'entry', '{}') end`;
  await redis.eval(lua, 1, keys.audit(), count);
}

test('an entry waits until it is stored', async () => {
  expect(await writer().record(entry({ target: 'team-a' }))).toBe(true);
  const queue = consume('one');
  const taken = await queue.take(0, 10, new AbortController().signal);
  expect(taken.map((one) => one.entry)).toMatchObject([{ actor: 'ops', target: 'team-a' }]);
  expect(await queue.backlog()).toEqual({ waiting: 1, dropped: 0 });
  await queue.done(0, taken);
  expect(await queue.backlog()).toEqual({ waiting: 0, dropped: 0 });
});

test('refused keys leave room for the actions of operators, and what finds none is logged and counted', async () => {
  await fill(maxRefusedBacklog);
  expect(await writer().record(entry({ action: 'key.refused' }))).toBe(false);
  expect(await writer().record(entry())).toBe(true);
  await fill(maxAuditBacklog - maxRefusedBacklog - 1);
  expect(await writer().record(entry())).toBe(false);
  expect(await consume('one').backlog()).toEqual({ waiting: maxAuditBacklog, dropped: 2 });
  const full = 'warn: an audit entry is not kept: too many wait for the database';
  expect(logged).toEqual([full, full]);
});

test('a change of the config that several processes see is recorded once, and again when it comes back', async () => {
  const [one, other] = [writer(), writer()];
  const changed = entry({ action: 'config.changed' });
  for (const config of ['a', 'b', 'a']) {
    await Promise.all([one, other].map((each) => each.recordConfig(config, changed)));
  }
  expect(await consume('one').backlog()).toMatchObject({ waiting: 3 });
});

test('an entry is logged if Redis is away, and the action that it records goes on', async () => {
  expect(await writer({ isReady: () => false }).record(entry())).toBe(false);
  expect(logged).toEqual(['warn: an audit entry is not kept']);
});

test('a fleet without a database logs its entries', async () => {
  expect(await writer({ isKept: false }).record(entry())).toBe(true);
  expect(logged).toEqual(['info: audit']);
  expect(await opened.redis.exists(opened.keys.audit())).toBe(0);
});
