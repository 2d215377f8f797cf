import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createQueuePositions } from './queue-position.ts';
import type { QueuePosition } from './queue-position.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function makeRoom() {
  const places = new Map<string, number>();
  let rate: number | undefined = 10;
  const looks: (readonly string[])[] = [];
  const room = createQueuePositions({
    queue: {
      async positions(ids) {
        looks.push(ids);
        return ids.map((id) => places.get(id));
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
    return { reported, positionWatch: room.watch(id, report) };
  };
  return { places, looks, watch, setRate: (next: number | undefined) => (rate = next) };
}

const second = () => vi.advanceTimersByTimeAsync(1000);

test('a guest is told at once, and again when its place has changed by a tenth', async () => {
  const { places, watch } = makeRoom();
  places.set('a', 40);
  const { reported, positionWatch } = watch('a');
  await positionWatch.reported;
  expect(reported).toEqual([['queued', { position: 40, estimated_wait_ms: 4100 }]]);
  places.set('a', 37);
  await second();
  expect(reported).toHaveLength(1);
  places.set('a', 36);
  await second();
  expect(reported[1]).toEqual(['queued', { position: 36, estimated_wait_ms: 3700 }]);
  await second();
  expect(reported).toHaveLength(2);
});

test('an estimate that has come up, or has moved far, is told', async () => {
  const { places, watch, setRate } = makeRoom();
  setRate(undefined);
  places.set('a', 40);
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

test('one look is for all guests, and none is made when the last one has left or been served', async () => {
  const { places, looks, watch } = makeRoom();
  places.set('a', 1).set('b', 2);
  watch('a');
  const { positionWatch, reported } = watch('b');
  await second();
  expect(looks.at(-1)).toEqual(['a', 'b']);
  places.delete('a');
  await second();
  await second();
  expect(looks.at(-1)).toEqual(['b']);
  positionWatch.stop();
  const count = looks.length;
  await second();
  expect(looks).toHaveLength(count);
  expect(reported).toHaveLength(1);
});
