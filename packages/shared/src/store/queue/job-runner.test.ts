import { describe, expect, test } from 'vitest';
import { suspectName } from './dead-workers-jobs.ts';
import { judgeJob } from './job-runner.ts';
import type { WorkerState } from './job-runner.ts';

const job = (number: number, name = 'm') => ({ name, number, deferredFailure: undefined });
const state = (change: Partial<WorkerState> = {}): WorkerState => ({
  isStopping: false,
  isExceeded: false,
  hasSuspect: false,
  skipped: new Set(),
  ...change,
});
const first = job(1);
const continued = job(2);
const suspect = job(2, suspectName);

describe('a job that a fetch has brought', () => {
  test('runs', () => {
    expect(judgeJob(first, state())).toBe('run');
    expect(judgeJob(continued, state())).toBe('run');
  });

  test('fails if BullMQ has decided so, whatever the state of the worker', () => {
    const failing = { ...first, deferredFailure: 'it lost its lock too often' };
    expect(judgeJob(failing, state({ isStopping: true, isExceeded: true }))).toBe('fail');
  });

  test('goes to the front of the queue if the worker stops', () => {
    expect(judgeJob(first, state({ isStopping: true }))).toBe('hand_back');
    expect(judgeJob(continued, state({ isStopping: true }))).toBe('hand_back');
  });

  test('above a lowered limit goes back to its place, or to the front if its run began before', () => {
    expect(judgeJob(first, state({ isExceeded: true }))).toBe('put_back');
    expect(judgeJob(continued, state({ isExceeded: true }))).toBe('hand_back');
  });

  test('of a skipped model goes back to its place, unless its run began before', () => {
    const skipped = new Set(['m']);
    expect(judgeJob(first, state({ skipped }))).toBe('put_back');
    expect(judgeJob(continued, state({ skipped }))).toBe('run');
  });
});

describe('a suspect', () => {
  test('runs in isolation', () => {
    expect(judgeJob(suspect, state())).toBe('isolate');
  });

  test.each<Partial<WorkerState>>([
    { isStopping: true },
    { isExceeded: true },
    { hasSuspect: true, skipped: new Set([suspectName]) },
  ])('goes back to its place, and not to the front, at a worker with %o', (change) => {
    expect(judgeJob(suspect, state(change))).toBe('put_back');
  });
});
