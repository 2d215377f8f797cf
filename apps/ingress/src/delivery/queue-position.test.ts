import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { JobEvent } from './encode.ts';
import { createWaitingRoom } from './queue-position.ts';

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
  const room = createWaitingRoom({
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
  const enter = (id: string) => {
    const told: unknown[] = [];
    const tell = ({ event, data }: JobEvent) => told.push([event, JSON.parse(data)]);
    return { told, visit: room.enter(id, tell) };
  };
  return { places, looks, enter, setRate: (next: number | undefined) => (rate = next) };
}

const second = () => vi.advanceTimersByTimeAsync(1000);

test('a guest is told at once, and again when its place has changed by a tenth', async () => {
  const { places, enter } = makeRoom();
  places.set('a', 40);
  const { told, visit } = enter('a');
  await visit.told;
  expect(told).toEqual([['queued', { position: 40, estimated_wait_ms: 4100 }]]);
  places.set('a', 37);
  await second();
  expect(told).toHaveLength(1);
  places.set('a', 36);
  await second();
  expect(told[1]).toEqual(['queued', { position: 36, estimated_wait_ms: 3700 }]);
  await second();
  expect(told).toHaveLength(2);
});

test('an estimate that has come up, or has moved far, is told', async () => {
  const { places, enter, setRate } = makeRoom();
  setRate(undefined);
  places.set('a', 40);
  const { told } = enter('a');
  await second();
  expect(told).toEqual([['queued', { position: 40 }]]);
  setRate(10);
  await second();
  setRate(9);
  await second();
  setRate(5);
  await second();
  expect(told.slice(1)).toEqual([
    ['queued', { position: 40, estimated_wait_ms: 4100 }],
    ['queued', { position: 40, estimated_wait_ms: 8200 }],
  ]);
});

test('one look is for all guests, and none is made when the last one has left or been served', async () => {
  const { places, looks, enter } = makeRoom();
  places.set('a', 1).set('b', 2);
  enter('a');
  const { visit, told } = enter('b');
  await second();
  expect(looks.at(-1)).toEqual(['a', 'b']);
  places.delete('a');
  await second();
  await second();
  expect(looks.at(-1)).toEqual(['b']);
  visit.leave();
  const count = looks.length;
  await second();
  expect(looks).toHaveLength(count);
  expect(told).toHaveLength(1);
});
