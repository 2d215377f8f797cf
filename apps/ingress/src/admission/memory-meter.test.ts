import { expect, test } from 'vitest';
import { parseMemory } from '@millrace/shared/store/redis-memory';
import { createMemoryMeter } from './memory-meter.ts';

const onError = (error: unknown) => {
  throw error;
};

test('memory is asked for at times while there is room, and each time while there is none', async () => {
  let at = 0;
  let used = 50;
  let asked = 0;
  const meter = createMemoryMeter({
    async measure() {
      asked += 1;
      return { used, max: 100 };
    },
    softLimit: 0.9,
    onError,
    now: () => at,
  });
  expect(await meter.hasRoom()).toBe(true);
  await Promise.resolve();
  expect(await meter.hasRoom()).toBe(true);
  expect(asked).toBe(1);

  used = 90;
  at = 1000;
  // Taken by what was known; the next one knows better.
  expect(await meter.hasRoom()).toBe(true);
  await Promise.resolve();
  // One question for all who ask at once.
  expect(await Promise.all([meter.hasRoom(), meter.hasRoom()])).toEqual([false, false]);
  expect(asked).toBe(3);

  used = 89;
  expect(await meter.hasRoom()).toBe(true);
});

test('a Redis without a limit always has room, and one that does not answer is no reason', async () => {
  const unlimited = createMemoryMeter({
    measure: async () => ({ used: 1e12, max: 0 }),
    softLimit: 0.9,
    onError,
  });
  expect(await unlimited.hasRoom()).toBe(true);
  expect(await unlimited.hasRoom()).toBe(true);
  const errors: unknown[] = [];
  const gone = createMemoryMeter({
    measure: () => Promise.reject(new Error('away')),
    softLimit: 0.9,
    onError: (error) => errors.push(error),
  });
  await gone.hasRoom();
  await Promise.resolve();
  expect(await gone.hasRoom()).toBe(true);
  expect(errors).toHaveLength(1);
});

test('what Redis and Valkey write is understood', () => {
  const info = '# Memory\r\nused_memory:1048576\r\nused_memory_rss:9\r\nmaxmemory:2097152\r\n';
  expect(parseMemory(info)).toEqual({ used: 1_048_576, max: 2_097_152 });
  expect(parseMemory('')).toEqual({ used: 0, max: 0 });
});
