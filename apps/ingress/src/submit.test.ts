import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import { createMemoryLog } from '@millrace/shared/log/memory-log';
import { expect, test, vi } from 'vitest';
import { ApiError } from './http/errors.ts';
import type { Submission } from './prepare.ts';
import { createSubmitter } from './submit.ts';
import type { SubmitDeps } from './submit.ts';

// What no real Redis does at will; the rest of it is in test/integration and test/fault.

const standing = { priority: 'normal', key: '', weight: 1, bytes: 2 } as const;
const submission: Submission = {
  principal: { models: ['*'] } as unknown as Submission['principal'],
  endpoint: '/v1/chat/completions',
  body: '{}',
  model: 'm',
  stream: true,
  includeUsage: false,
  reader: 'plain',
  attached: true,
  read: true,
  idempotency: { key: 'once', fingerprint: 'f' },
};

test('who joined a request that could not be queued is told so, and may ask again', async () => {
  const { log, submit } = createMemoryLog();
  const deps: SubmitDeps = {
    config: { models: { m: { targets: [] } }, shards: 1 } as unknown as SubmitDeps['config'],
    // It comes through, and its answer is lost.
    submit: async (request) => {
      await submit(request);
      throw busy;
    },
    log,
    queue: { remove: async () => false },
    door: {
      enter: () => standing,
      pass: () => ({ arrived() {}, turnedBack() {} }),
      checkMemory: async () => {},
    },
    inbox: 'in-1',
    whenReady: async () => {},
    onError: (error) => {
      throw error;
    },
  };
  const { prepare, send } = createSubmitter(deps);
  const first = prepare(submission);
  await expect(send(first)).rejects.toBe(busy);
  const linesOf = async () => (await log.read(first.meta.id, logStart, 1000))?.lines ?? [];
  await vi.waitFor(async () => expect(await linesOf()).toHaveLength(1));
  const [last] = await linesOf();
  expect(decodeEntry(last?.text ?? '')).toMatchObject({
    kind: 'failed',
    data: { error: { code: 'queue_unavailable' }, httpStatus: 503 },
  });
  // The key is free: the next call makes a request of its own.
  await expect(send(prepare(submission))).rejects.toBe(busy);
});

const busy = new ApiError(503, {
  message: 'The queue is busy.',
  type: 'server_error',
  param: null,
  code: 'queue_full',
});
