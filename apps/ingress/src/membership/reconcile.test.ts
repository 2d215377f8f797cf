import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { newRequestId } from '@millrace/shared/domain/request';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { JobState } from '@millrace/shared/store/queue/port';
import { afterEach, expect, test } from 'vitest';
import { createReconciler } from './reconcile.ts';
import type { Reconciler } from './reconcile.ts';
import { createRelay } from '../delivery/relay.ts';

// Requests on their way into Redis; what becomes of lost jobs is in test/fault/job-removed.test.ts.

let reconciler: Reconciler | undefined;
afterEach(() => reconciler?.stop());

function setUp(state: JobState = 'unknown', threw = false) {
  const id = newRequestId(0, Date.now());
  const sending = new Set<string>();
  const gone: string[] = [];
  const onError = (error: unknown) => {
    throw error;
  };
  const { log, submit } = createMemoryLog();
  const relay = createRelay({ log, onUnread() {}, onError });
  relay.openFresh(id, { lines: () => true, reset() {}, gone: (why) => gone.push(why) });
  let looks = 0;
  const loop = { isLate: false, overdue: 0 };
  const queue = { state, onRemove: async (): Promise<unknown> => undefined };
  reconciler = createReconciler({
    log,
    queue: {
      state: async () => queue.state,
      async remove() {
        queue.state = 'unknown';
        await queue.onRemove();
        return true;
      },
      runThrew: async () => threw,
    },
    relay: {
      ...relay,
      endOverdue() {
        loop.overdue += 1;
      },
      takeQuiet(...asked) {
        looks += 1;
        return relay.takeQuiet(...asked);
      },
    },
    isCreating: (one) => sending.has(one),
    onOverdue() {},
    lateLoop: { wasLate: () => loop.isLate, rest() {}, resume() {} },
    onError,
    quietMs: 2,
  });
  const { describe } = reconciler;
  const create = (times: Pick<RequestMeta, 'createdAt' | 'sentAt' | 'deadlineAt'>) =>
    submit(
      newRequest({
        id,
        endpoint: '/v1/chat/completions',
        model: 'm',
        stream: true,
        reader: 'native',
        includeUsage: false,
        attached: false,
        ...times,
      }),
    );
  const looked = async (times: number): Promise<void> => {
    const from = looks;
    await expect.poll(() => looks, { interval: 1 }).toBeGreaterThanOrEqual(from + times);
  };
  const codeOfEnd = async (): Promise<unknown> => {
    const end = decodeEntry((await log.read(id, logStart, 1000))?.lines.at(-1)?.text ?? '');
    return end.kind === 'failed' ? end.data.error.code : end.kind;
  };
  return { id, sending, gone, create, describe, looked, loop, queue, codeOfEnd };
}

test('a request that waits for Redis is not taken for one that is gone', async () => {
  const { id, sending, gone, looked } = setUp();
  sending.add(id);
  await looked(5);
  expect(gone).toEqual([]);
  sending.delete(id);
  await expect.poll(() => gone).toEqual(['expired']);
});

test('a request between its hash and the queue is not taken for a lost job, however old it is', async () => {
  const { id, sending, create, describe } = setUp();
  sending.add(id);
  await create({ createdAt: Date.now() - 60_000 });
  expect((await describe(id))?.ended).toBeUndefined();
  sending.delete(id);
  expect((await describe(id))?.ended).toBe('failed');
});

test('a request that another ingress has just created has a second to get its job', async () => {
  const { id, create, describe } = setUp();
  await create({ createdAt: Date.now() - 60_000, sentAt: Date.now() + 60_000 });
  expect((await describe(id))?.ended).toBeUndefined();
});

test('a process that stood still gives up no reader before it has read the frames that came meanwhile', async () => {
  const { looked, loop } = setUp();
  loop.isLate = true;
  await looked(3);
  const seen = loop.overdue;
  await looked(3);
  expect(loop.overdue).toBe(seen);
  loop.isLate = false;
  await expect.poll(() => loop.overdue).toBeGreaterThan(seen);
});

test.each([
  ['whose run threw an error', true, 'internal_error'],
  ['that the queue gave up', false, 'job_failed'],
])('a request %s ends with the code of its cause', async (_, threw, code) => {
  const { id, create, describe, codeOfEnd } = setUp('failed', threw);
  await create({ createdAt: Date.now() - 60_000 });
  expect((await describe(id))?.ended).toBe('failed');
  expect(await codeOfEnd()).toBe(code);
});

test('a request that waited past its deadline ends by it, also if another ingress looks while its job is removed', async () => {
  const { id, create, describe, queue, codeOfEnd } = setUp('waiting');
  await create({ createdAt: Date.now() - 60_000, deadlineAt: Date.now() - 1 });
  queue.onRemove = () => describe(id);
  expect((await describe(id))?.ended).toBe('failed');
  expect(await codeOfEnd()).toBe('deadline_exceeded');
  expect(queue.state).toBe('unknown');
});
