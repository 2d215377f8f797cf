import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createQueuePositions } from './queue-position.ts';
import type { QueuePosition } from './queue-position.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function openPositions() {
  const positions = new Map<string, number>();
  let rate: number | undefined = 10;
  const queries: (readonly string[])[] = [];
  const queuePositions = createQueuePositions({
    queue: {
      async positions(ids) {
        queries.push(ids);
        return ids.map((id) => positions.get(id));
      },
    },
    waitFor: (jobs) => (rate === undefined ? undefined : (jobs * 1000) / rate),
    onError(error) {
      throw error;
    },
  });
  const watch = (id: string) => {
    const reported: unknown[] = [];
    const report = ({ position, waitMs }: QueuePosition) =>
      reported.push(['queued', { position, estimated_wait_ms: waitMs }]);
    return { reported, positionWatch: queuePositions.watch(id, report) };
  };
  return { positions, queries, watch, setRate: (next: number | undefined) => (rate = next) };
}

const second = () => vi.advanceTimersByTimeAsync(1000);

test('a reader gets its position at once, and again when it has changed by a tenth', async () => {
  const { positions, watch } = openPositions();
  positions.set('a', 40);
  const { reported, positionWatch } = watch('a');
  await positionWatch.reported;
  expect(reported).toEqual([['queued', { position: 40, estimated_wait_ms: 4100 }]]);
  positions.set('a', 37);
  await second();
  expect(reported).toHaveLength(1);
  positions.set('a', 36);
  await second();
  expect(reported[1]).toEqual(['queued', { position: 36, estimated_wait_ms: 3700 }]);
  await second();
  expect(reported).toHaveLength(2);
});

test('a reader gets an estimate that has become known, or has changed much', async () => {
  const { positions, watch, setRate } = openPositions();
  setRate(undefined);
  positions.set('a', 40);
  const { reported } = watch('a');
  await second();
  expect(reported).toEqual([['queued', { position: 40 }]]);
  setRate(10);
  await second();
  setRate(9);
  await second();
  setRate(5);
  await second();
  expect(reported.slice(1)).toEqual([
    ['queued', { position: 40, estimated_wait_ms: 4100 }],
    ['queued', { position: 40, estimated_wait_ms: 8200 }],
  ]);
});

test('one query serves all readers, and none is made after the last one has left or been served', async () => {
  const { positions, queries, watch } = openPositions();
  positions.set('a', 1).set('b', 2);
  watch('a');
  const { positionWatch, reported } = watch('b');
  await second();
  expect(queries.at(-1)).toEqual(['a', 'b']);
  positions.delete('a');
  await second();
  await second();
  expect(queries.at(-1)).toEqual(['b']);
  positionWatch.stop();
  const count = queries.length;
  await second();
  expect(queries).toHaveLength(count);
  expect(reported).toHaveLength(1);
});
