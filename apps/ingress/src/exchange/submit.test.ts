import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { beforeEach, expect, test, vi } from 'vitest';
import { createPreparer } from './prepare.ts';
import type { Prepared, Submission } from './prepare.ts';
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
  idempotency: { kind: 'idempotent', key: 'once', fingerprint: 'f' },
};

const prepare = (): Prepared => {
  const config = { models: { m: { targets: [] } }, shards: 1 } as unknown as PrepareConfig;
  const admission = { admit: () => ({ kind: 'admitted' as const, standing }) };
  const deps = {
    config,
    admission,
    keyRing,
    debugs: () => false,
    prices: () => null,
    inbox: 'in-1',
  };
  return createPreparer(deps)(submission) as Prepared;
};

const keyRing: Parameters<typeof createPreparer>[0]['keyRing'] = {
  renew: (principal) => ({ kind: 'renewed', principal }),
};

type PrepareConfig = Parameters<typeof createPreparer>[0]['config'];

const isWanted = () => true;

let errors: unknown[] = [];
beforeEach(() => {
  errors = [];
});

/** Over a log in memory. */
function depsFor(
  log: SubmitDeps['log'],
  submit: SubmitDeps['submit'],
  passed: string[] = [],
): SubmitDeps {
  return {
    submit,
    log,
    queue: { remove: async () => false },
    admission: {
      track: () => ({
        sending: () => passed.push('sending'),
        created: () => passed.push('queued'),
        withdrawn: () => passed.push('withdrawn'),
      }),
      checkMemory: async () => undefined,
    },
    whenReady: async () => {},
    onError: (error) => void errors.push(error),
  };
}

test('admission learns that a request is being sent before Redis has it, and that it is queued afterwards', async () => {
  const { log, submit } = createMemoryLog();
  const passed: string[] = [];
  const deps = depsFor(log, (...args) => (passed.push('submit'), submit(...args)), passed);
  const { create } = createSubmitter(deps);
  expect(await create(prepare(), undefined, isWanted)).toEqual({
    kind: 'created',
    isWaiting: true,
  });
  expect(passed).toEqual(['sending', 'submit', 'queued']);
});

test('a caller that joined a request which could not be queued gets an error, and may ask again', async () => {
  const { log, submit } = createMemoryLog();
  // It comes through, and its answer is lost.
  const deps = depsFor(log, async (request) => {
    await submit(request);
    throw broken;
  });
  const { create, withdraw } = createSubmitter(deps);
  const first = prepare();
  const unknown = { kind: 'unknown', refused: { code: 'internal_error' } };
  const creation = await create(first, undefined, isWanted);
  expect(creation).toMatchObject(unknown);
  if (creation.kind === 'unknown') withdraw(first.meta.id, creation.late, first.once?.caller);
  expect(errors).toEqual([broken]);
  const linesOf = async () => (await log.read(first.meta.id, logStart, 1000))?.lines ?? [];
  await vi.waitFor(async () => expect(await linesOf()).toHaveLength(1));
  const [last] = await linesOf();
  expect(decodeEntry(last?.text ?? '')).toMatchObject({
    kind: 'failed',
    data: { error: { code: 'queue_unavailable' }, httpStatus: 503 },
  });
  // The key is free: the next call makes a request of its own.
  expect(await create(prepare(), undefined, isWanted)).toMatchObject(unknown);
});

const broken = new Error('broken');
