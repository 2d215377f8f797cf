import type { RunView } from '@millrace/shared/domain/inquiry';
import { newRequestId } from '@millrace/shared/domain/request';
import { expect, test } from 'vitest';
import { emptySample, waitingJob } from './live.fixture.ts';
import { liveView, maxLive } from './view.ts';

const run = (id: string, more: Partial<RunView> = {}): RunView => ({
  id,
  model: 'm',
  api: '/v1/chat/completions',
  stream: true,
  createdAt: 1000,
  startedAt: 1500,
  attempts: 1,
  rescues: 0,
  outputTokens: 0,
  ...more,
});

const worker = (name: string, runs: RunView[], more: object = {}) => ({
  name,
  runs,
  total: runs.length,
  rescued: 0,
  byKey: {},
  slots: 8,
  busy: runs.length,
  skipped: {},
  ...more,
});

test('running and waiting requests are in one list, the newest first', () => {
  const view = liveView({
    ...emptySample(),
    at: 5000,
    workers: [
      worker('w1', [run('a', { target: { provider: 'p', model: 'x' }, mode: 'start' })]),
      worker('w2', [run('b', { createdAt: 3000, startedAt: 3000 })], { rescued: 1 }),
    ],
    waiting: { ...emptySample().waiting, waiting: 1, jobs: [waitingJob('c', { createdAt: 2000 })] },
  });
  expect(view.totals).toEqual({ queued: 1, running: 2, rescued_running: 1 });
  expect(view.running).toMatchObject([
    { id: 'b', state: 'running', worker: 'w2', provider: null, queue_ms: 0 },
    { id: 'c', state: 'queued', worker: null, queue_ms: 3000 },
    { id: 'a', state: 'running', provider: 'p', target_model: 'x', queue_ms: 500 },
  ]);
  expect(view.truncated).toBe(false);
});

test('a request that changes hands while the sample is taken is there once', () => {
  const view = liveView({
    ...emptySample(),
    workers: [worker('old', [run('a')]), worker('new', [run('a', { attempts: 2 })])],
    waiting: { ...emptySample().waiting, waiting: 1, jobs: [waitingJob('a')] },
  });
  expect(view.running).toMatchObject([{ id: 'a', state: 'running', worker: 'new', attempt: 2 }]);
});

test('many waiting requests do not hide those that run', () => {
  const jobs = Array.from({ length: maxLive + 10 }, () =>
    waitingJob(newRequestId(0, 9000), { createdAt: 9000 }),
  );
  const view = liveView({
    ...emptySample(),
    workers: [worker('w', [run('a')])],
    waiting: { ...emptySample().waiting, waiting: jobs.length, jobs },
  });
  expect(view.running).toHaveLength(maxLive);
  expect(view.running.at(-1)).toMatchObject({ id: 'a' });
  expect(view.truncated).toBe(true);
});

test('a damaged job waits, too', () => {
  const jobs = [waitingJob('a', { data: undefined })];
  const view = liveView({
    ...emptySample(),
    waiting: { ...emptySample().waiting, waiting: 1, jobs },
  });
  expect(view.running).toMatchObject([{ id: 'a', model: null, key: null }]);
});
