import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PublishOutcome, Report } from './port.ts';
import { reportEveryMs, startReporting } from './reporting.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const trimmed: PublishOutcome = { kind: 'trimmed', bytes: 9, without: ['sections'] };

function start(publish: () => Promise<PublishOutcome>) {
  const calls: string[] = [];
  const published: Report[] = [];
  const errors: unknown[] = [];
  let trims = 0;
  const reporting = startReporting({
    name: 'w',
    reports: {
      async publish(_, report, questions = []) {
        calls.push(['publish', ...questions].join(' '));
        published.push(report);
        return publish();
      },
      async remove(name) {
        calls.push(`remove ${name}`);
      },
    },
    make: async () => ({ at: Date.now(), metrics: [], sections: {} }),
    onTrimmed: () => (trims += 1),
    onError: (error) => errors.push(error),
  });
  return { reporting, calls, published, errors, trims: () => trims };
}

const whole = async (): Promise<PublishOutcome> => ({ kind: 'whole' });
const pass = (times: number) => vi.advanceTimersByTimeAsync(times * reportEveryMs);

test('a worker reports at once, and then now and then', async () => {
  const { calls } = start(whole);
  await pass(0);
  expect(calls).toHaveLength(1);
  await pass(3);
  expect(calls).toHaveLength(4);
});

test('while Redis is away one report waits, and the next one is a new one', async () => {
  const waiting: ((outcome: PublishOutcome) => void)[] = [];
  const { published } = start(() => new Promise((resolve) => waiting.push(resolve)));
  await pass(60);
  expect(published).toHaveLength(1);
  waiting[0]?.({ kind: 'whole' });
  await pass(1);
  expect(published).toHaveLength(2);
  expect((published[1]?.at ?? 0) - (published[0]?.at ?? 0)).toBe(61 * reportEveryMs);
});

test('a report that fails is told, and the next one comes all the same', async () => {
  const { calls, errors } = start(() => Promise.reject(new Error('LOADING')));
  await pass(2);
  expect(calls).toHaveLength(3);
  expect(errors).toHaveLength(3);
});

test('reports that are too large are told once, until one was whole', async () => {
  let outcome: PublishOutcome = trimmed;
  const { trims } = start(async () => outcome);
  await pass(5);
  expect(trims()).toBe(1);
  outcome = { kind: 'whole' };
  await pass(1);
  outcome = trimmed;
  await pass(5);
  expect(trims()).toBe(2);
});

test('a worker that leaves removes its report behind the last one, and makes no more', async () => {
  let arrive: (outcome: PublishOutcome) => void = () => {};
  const { reporting, calls } = start(() => new Promise((resolve) => (arrive = resolve)));
  const left = reporting.leave();
  await pass(5);
  expect(calls).toEqual(['publish']);
  arrive({ kind: 'whole' });
  await left;
  await pass(5);
  expect(calls).toEqual(['publish', 'remove w']);
});

test('a worker that is asked answers at once, all who asked with one report', async () => {
  const { reporting, calls } = start(whole);
  await pass(0);
  reporting.answer('a');
  await pass(0);
  expect(calls).toEqual(['publish', 'publish a']);
});

test('a question that comes while a report is made is answered by the next one', async () => {
  const waiting: ((outcome: PublishOutcome) => void)[] = [];
  const { reporting, calls } = start(() => new Promise((resolve) => waiting.push(resolve)));
  await pass(0);
  reporting.answer('a');
  reporting.answer('b');
  expect(calls).toEqual(['publish']);
  waiting[0]?.({ kind: 'whole' });
  await pass(0);
  expect(calls).toEqual(['publish', 'publish a b']);
});

test('a worker that leaves answers no more', async () => {
  const { reporting, calls } = start(whole);
  await pass(0);
  await reporting.leave();
  reporting.answer('a');
  await pass(1);
  expect(calls).toEqual(['publish', 'remove w']);
});
