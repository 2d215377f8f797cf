import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchPause } from './pause-watch.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a pause and its end are logged once each, and a Redis that is away changes nothing', async () => {
  let shards = async (): Promise<number[]> => [];
  const lines: string[] = [];
  const note = (level: string) => () => void lines.push(level);
  const logger = { info: note('info'), warn: note('warn') };
  const watch = watchPause({ pausedShards: () => shards(), logger });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toEqual([]);
  shards = async () => [1];
  await vi.advanceTimersByTimeAsync(10_000);
  expect(watch.paused()).toEqual([1]);
  shards = () => Promise.reject(new Error('away'));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(watch.paused()).toEqual([1]);
  expect(lines).toEqual(['warn']);
  shards = async () => [];
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toEqual(['warn', 'info']);
  watch.stop();
});
