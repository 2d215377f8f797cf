import { newRequestId } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { describe, expect, test } from 'vitest';
import { emptySample, waitingJob } from './live.fixture.ts';
import { queueView, reasonOf } from './queue-view.ts';

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
});
