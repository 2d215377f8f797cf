import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchOrphans } from './orphans.ts';

const graceMs = 1000;

let readers: () => Promise<number>;
let ended: string[];
let watch: ReturnType<typeof watchOrphans>;

beforeEach(() => {
  vi.useFakeTimers();
  ended = [];
  watch = watchOrphans({
    log: {
      liveReaders: () => readers(),
      finish: async (id) => {
        ended.push(id);
        return { kind: 'finished' };
      },
    },
    graceMs,
    attached: () => ['a'],
    onError: (error) => expect.fail(String(error)),
  });
});
afterEach(() => {
  watch.stop();
  vi.useRealTimers();
});

it('ends a request that has had no reader for the grace', async () => {
  readers = async () => 0;
  await vi.advanceTimersByTimeAsync(graceMs);
  expect(ended).toEqual([]);
  await vi.advanceTimersByTimeAsync(graceMs / 2);
  expect(ended).toEqual(['a']);
});

it('leaves one alone whose reader comes back within the grace', async () => {
  readers = async () => 0;
  await vi.advanceTimersByTimeAsync(graceMs);
  readers = async () => 1;
  await vi.advanceTimersByTimeAsync(graceMs / 2);
  readers = async () => 0;
  await vi.advanceTimersByTimeAsync(graceMs);
  expect(ended).toEqual([]);
});

it('does not count the time in which Redis did not answer', async () => {
  readers = async () => 0;
  await vi.advanceTimersByTimeAsync(graceMs / 2);
  const away = Promise.withResolvers<number>();
  readers = () => away.promise;
  await vi.advanceTimersByTimeAsync(10 * graceMs);
  away.resolve(0);
  readers = async () => 1;
  await vi.advanceTimersByTimeAsync(graceMs);
  expect(ended).toEqual([]);
});
