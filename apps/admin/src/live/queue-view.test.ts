import { newRequestId } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { describe, expect, test } from 'vitest';
import { emptySample, waitingJob } from './live.fixture.ts';
import { queueView } from './queue-view.ts';
import { reasonOf } from './reason.ts';
import { liveView } from './view.ts';

const worker = (more: object = {}) => ({
  name: 'w',
  runs: [],
  total: 0,
  rescued: 0,
  byKey: {},
  slots: 8,
  busy: 0,
  skipped: {},
  ...more,
});

const id = newRequestId(1, 5000);
const first = { position: 0, higher: 0 };
const reason = (workers: ReturnType<typeof worker>[], place = first, pausedShards: number[] = []) =>
  reasonOf(waitingJob(id), place, {
    workers,
    heard: workers.length,
    waiting: { ...emptySample().waiting, pausedShards },
  });

describe('the reason of a wait', () => {
  test.each([
    ['The queue is paused.', [worker()], first, [1]],
    ['No worker is there to take it.', [], first, [0]],
    ['All workers are drained: they take no requests.', [worker({ slots: 0 })], first, []],
    [
      "Every target of its model m is open, by its breaker or by an operator's order.",
      [worker({ skipped: { m: 'broken' } })],
      first,
      [],
    ],
    [
      'Its model m is at its limit: the targets take no more requests now.',
      [worker({ skipped: { m: 'broken' } }), worker({ skipped: { m: 'limited' } })],
      first,
      [],
    ],
    ['All 8 slots of the 1 worker are taken.', [worker({ busy: 8 })], first, []],
    [
      'All 16 slots of the 2 workers are taken, and before it are 3 requests, 1 of higher priority.',
      [worker({ busy: 8 }), worker({ busy: 9 })],
      { position: 3, higher: 1 },
      [],
    ],
    [
      'Before it is 1 request of higher priority.',
      [worker({ skipped: { other: 'limited' } })],
      { position: 1, higher: 1 },
      [],
    ],
    ['It is next: a worker takes it at once.', [worker()], first, []],
  ])('%s', (expected, workers, place, paused) => {
    expect(reason(workers, place, paused)).toBe(expected);
  });
});

test('is not known while a worker that might take it does not answer', () => {
  const sample = { ...emptySample(), heard: 2, workers: [worker({ busy: 8 })] };
  expect(reasonOf(waitingJob(id), first, sample)).toBe(
    'Not known: 1 worker of 2 did not answer in time.',
  );
  expect(reasonOf(waitingJob(id), first, { ...sample, workers: [] })).toContain('2 workers of 2');
});

const job = (key: string, priority: Priority, createdAt: number) =>
  waitingJob(newRequestId(0, createdAt), {
    createdAt,
    data: {
      ...(waitingJob('').data as NonNullable<ReturnType<typeof waitingJob>['data']>),
      standing: { priority, key, weight: 1, bytes: 1 },
    },
  });

describe('the queue', () => {
  const jobs = [job('a', 'high', 4000), job('b', 'normal', 2000), job('a', 'low', 3000)];
  const sample = {
    ...emptySample(),
    at: 10_000,
    workers: [worker({ byKey: { a: 3, b: 1, c: 2 } })],
    waiting: {
      ...emptySample().waiting,
      waiting: 4,
      jobs: [job('b', 'normal', 9000), ...jobs],
      classes: { high: 1, normal: 1, low: 1 },
    },
  };

  test('counts classes and keys, with those that a worker has handed back in their own', () => {
    const view = queueView(sample, 2);
    expect(view).toMatchObject({
      waiting: 4,
      oldest_ms: 8000,
      by_class: { high: 1, normal: 2, low: 1 },
      truncated: true,
    });
    expect(view.by_key).toEqual([
      { key: 'a', waiting: 2, running: 3, oldest_ms: 7000 },
      { key: 'b', waiting: 2, running: 1, oldest_ms: 8000 },
      { key: 'c', waiting: 0, running: 2, oldest_ms: null },
    ]);
    expect(view.data.map(({ position }) => position)).toEqual([0, 1]);
  });

  test('is fair by Jain’s index of what the waiting keys have running', () => {
    expect(queueView(sample, 9).fairness).toBe(0.8);
    expect(queueView(emptySample(), 9)).toMatchObject({ fairness: null, oldest_ms: null });
  });

  test('has those that a worker holds back until a target takes them, with the reason', () => {
    const why = "p/x is at the provider's limit";
    const run = {
      id: 'held',
      model: 'm',
      key: 'a',
      api: '/v1/chat/completions',
      stream: true,
      createdAt: 4000,
      startedAt: 4500,
      class: 'normal' as const,
      waits: why,
      attempts: 0,
      rescues: 0,
      outputTokens: 0,
    };
    const begun = { ...run, id: 'begun', attempts: 1 };
    const workers = [worker({ runs: [run, begun], total: 2, waiting: 1, byKey: { a: 2 } })];
    const view = queueView({ ...emptySample(), heard: 1, workers }, 9);
    expect(view).toMatchObject({
      waiting: 1,
      oldest_ms: 6000,
      by_class: { normal: 1 },
      by_key: [{ key: 'a', waiting: 1, running: 1 }],
      workers: { asked: 1, answered: 1 },
      data: [{ id: 'held', worker: 'w', reason: `It waits at w for a target: ${why}.` }],
      truncated: false,
    });
    const live = liveView({ ...emptySample(), heard: 1, workers });
    expect(live.totals).toMatchObject({ queued: 1, running: 1 });
    expect(live.running).toMatchObject([
      { id: 'held', state: 'queued', reason: `It waits at w for a target: ${why}.` },
      { id: 'begun', state: 'running', reason: `It waits at w for a target: ${why}.` },
    ]);
  });
});
