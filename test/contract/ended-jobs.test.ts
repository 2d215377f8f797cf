import { newRequestId } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { encodeEntry } from '@millrace/shared/domain/entry';
import { maxWebhookBacklog } from '@millrace/shared/domain/webhook';
import { keyspace } from '@millrace/shared/store/keys';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { createRedisEndedJobs } from '@millrace/shared/store/webhooks/redis-ended-jobs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// The script that ends a request writes its end for the webhook, whether there is a ledger or not.

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server?.close());

let spaces = 0;

function open() {
  const redis = server.connect();
  const keys = keyspace(`ended${(spaces += 1)}-${Date.now()}`);
  const log = createRedisLog({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
  const queue = createRedisEndedJobs({
    redis,
    keys,
    shards: 1,
    consumer: 'one',
    connect: () => server.connect(),
    onDamaged(entryId, error) {
      throw new Error(entryId, { cause: error });
    },
  });
  const create = async (webhook: RequestMeta['webhook']): Promise<string> => {
    const id = newRequestId(0, Date.now());
    const meta = { id, model: 'm', webhook, metadata: { webhook: 1 } };
    await redis.hset(keys.request(id), { meta: JSON.stringify(meta), subs: '' });
    if (webhook) await redis.hset(keys.request(id), 'webhook', '1');
    return id;
  };
  return { redis, keys, log, queue, create };
}

const cancelled = encodeEntry({ kind: 'cancelled', data: { reason: 'r', at: 1 } });
const going = new AbortController().signal;

test('only a request with a webhook is among the ended jobs', async () => {
  const { log, queue, create } = open();
  const [plain, asking] = [await create(undefined), await create({ url: 'https://a.example' })];
  for (const id of [plain, asking]) await log.finish(id, cancelled, 'cancelled');
  const taken = await queue.take(0, 10, going);
  expect(taken.map(({ entry }) => entry)).toEqual([
    {
      meta: expect.objectContaining({ id: asking, webhook: { url: 'https://a.example' } }),
      end: { kind: 'cancelled', data: { reason: 'r', at: 1 } },
    },
  ]);
  expect(await queue.backlog()).toEqual({ waiting: 1, dropped: 0 });
  await queue.done(0, taken);
  expect(await queue.backlog()).toEqual({ waiting: 0, dropped: 0 });
  queue.close();
});

test('a request ends also if too many ended jobs wait, or their key is damaged; it is counted', async () => {
  const { redis, keys, log, queue, create } = open();
  const fill = redis.pipeline();
  for (let i = 0; i < maxWebhookBacklog; i += 1) fill.xadd(keys.endedJobs(0), '*', 'meta', '{}');
  await fill.exec();
  expect(await log.finish(await create({}), cancelled, 'cancelled')).toEqual({ kind: 'finished' });
  await redis.set(keys.endedJobs(0), 'damaged');
  expect(await log.finish(await create({}), cancelled, 'cancelled')).toEqual({ kind: 'finished' });
  expect(await redis.hget(keys.queueCounts(0), 'webhooks-dropped')).toBe('2');
  queue.close();
});
