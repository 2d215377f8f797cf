import type { Config } from '@millrace/shared/config';
import { newRequestId } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { expect, test } from 'vitest';
import { readerLife } from './reader-life.ts';

const models = {
  quick: { timeoutMs: 5000, maxWaitMs: 30_000 },
  slow: { timeoutMs: 60_000, maxWaitMs: 0 },
} as unknown as Config['models'];
const limits = { queueWaitMs: 1000, queueTtlMs: 1_000_000 };

const lifeOf = (asked: Partial<RequestMeta>) => {
  const meta = { id: newRequestId(0, 0), model: 'quick', attached: true, createdAt: 7, ...asked };
  return readerLife(meta as RequestMeta, { models, limits });
};

test.each<[string, Partial<RequestMeta>, number]>([
  ['a client', {}, 7 + 1000 + 30_000 + 5000],
  ['none', { attached: false }, 7 + 1_000_000 + 30_000 + 5000],
  // The longest of those that are known.
  ['a client, for a model of another config', { model: 'unknown' }, 7 + 1000 + 30_000 + 60_000],
])(
  'a request with %s behind it has its waits, in the queue and at a worker, and its timeout to start',
  (_who, asked, startBy) => {
    expect(lifeOf(asked).startBy).toBe(startBy);
  },
);
