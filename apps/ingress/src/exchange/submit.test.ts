import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { expect, test, vi } from 'vitest';
import { ApiError } from '../errors.ts';
import type { Submission } from './prepare.ts';
import { createSubmitter } from './submit.ts';
import type { SubmitDeps } from './submit.ts';

// What no real Redis does at will; the rest of it is in test/system and test/fault.

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

/** Over a log in memory. */
function depsFor(
  log: SubmitDeps['log'],
  submit: SubmitDeps['submit'],
  passed: string[] = [],
): SubmitDeps {
  return {
    config: { models: { m: { targets: [] } }, shards: 1 } as unknown as SubmitDeps['config'],
    submit,
    log,
    queue: { remove: async () => false },
    admission: {
      admit: () => standing,
      track: () => ({
        sending: () => passed.push('sending'),
        queued: () => passed.push('queued'),
        withdrawn: () => passed.push('withdrawn'),
      }),
      checkMemory: async () => {},
    },
    inbox: 'in-1',
    whenReady: async () => {},
    onError: (error) => {
      throw error;
    },
  };
}

test('the submitter reports a request as under way before Redis has it, and as arrived afterwards', async () => {
  const { log, submit } = createMemoryLog();
  const passed: string[] = [];
  const deps = depsFor(log, (...args) => (passed.push('submit'), submit(...args)), passed);
  const { prepare, send } = createSubmitter(deps);
  await send(prepare(submission));
  expect(passed).toEqual(['sending', 'submit', 'queued']);
});

test('a caller that joined a request which could not be queued gets an error, and may ask again', async () => {
  const { log, submit } = createMemoryLog();
  // It comes through, and its answer is lost.
  const deps = depsFor(log, async (request) => {
    await submit(request);
    throw busy;
  });
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
