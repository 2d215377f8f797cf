import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { LedgerQueue, TakenEntry } from '@millrace/shared/store/ledger/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startConsumer } from './consumer.ts';
import type { Consumer } from './consumer.ts';
import { entryOf } from './entries.fixture.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A queue of one shard; entries that are taken and not done are gone from it. */
function fakeQueue(ids: readonly string[]) {
  const waiting: TakenEntry[] = ids.map((id) => ({ entryId: id, entry: entryOf(id) }));
  const done: string[] = [];
  const queue: LedgerQueue = {
    take: async (_shard, count, signal) => {
      if (waiting.length > 0) return waiting.splice(0, count);
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve([])));
    },
    takeNow: async (_shard, count) => waiting.splice(0, count),
    done: async (_shard, entries) => void done.push(...entries.map(({ entryId }) => entryId)),
    backlog: async () => ({ waiting: waiting.length, dropped: 0 }),
    close() {},
  };
  return { queue, waiting, done };
}

const rejectedValue = Object.assign(new Error('invalid byte sequence'), { code: '22021' });
const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

function start(queue: LedgerQueue, store: (entries: readonly LedgerEntry[]) => Promise<void>) {
  const rejected: string[] = [];
  const errors: unknown[] = [];
  const consumer: Consumer = startConsumer({
    queue,
    shards: 1,
    store,
    onRejected: ({ id }) => rejected.push(id),
    onError: (error) => errors.push(error),
  });
  return { consumer, rejected, errors };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

test('an entry that the database rejects is removed and reported, and the others are stored', async () => {
  const { queue, done } = fakeQueue(['a', 'bad', 'b']);
  const stored: string[] = [];
  const { consumer, rejected, errors } = start(queue, async (entries) => {
    if (entries.some(({ id }) => id === 'bad')) throw rejectedValue;
    stored.push(...entries.map(({ id }) => id));
  });
  await settle();
  expect(stored).toEqual(['a', 'b']);
  expect(rejected).toEqual(['bad']);
  expect(done).toEqual(['a', 'bad', 'b']);
  expect(errors).toEqual([]);
  expect(consumer).toMatchObject({ stored: 2, rejected: 1, problem: undefined });
  await consumer.stop();
});

test('while the database is away entries wait, with one error for all tries, and are stored when it is back', async () => {
  const { queue, done } = fakeQueue(['a', 'b']);
  let isAway = true;
  const { consumer, rejected, errors } = start(queue, async () => {
    if (isAway) throw away;
  });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(consumer.problem).toBe('connect ECONNREFUSED');
  expect({ done, rejected, errors }).toEqual({ done: [], rejected: [], errors: [away] });
  isAway = false;
  await vi.advanceTimersByTimeAsync(1000);
  expect(done).toEqual(['a', 'b']);
  expect(consumer.problem).toBeUndefined();
  await consumer.stop();
});

test('a queue that could not be read for a moment is no problem any more once it answers, also without entries', async () => {
  const { queue } = fakeQueue([]);
  const take = vi
    .fn<LedgerQueue['take']>(queue.take)
    .mockRejectedValueOnce(new Error('LOADING'))
    .mockResolvedValueOnce([]);
  const { consumer, errors } = start({ ...queue, take }, async () => {});
  await settle();
  expect(consumer.problem).toBe('LOADING');
  await vi.advanceTimersByTimeAsync(1000);
  expect(take).toHaveBeenCalledTimes(3);
  expect(consumer.problem).toBeUndefined();
  expect(errors).toHaveLength(1);
  await consumer.stop();
});

test('a consumer that stops stores what still waits', async () => {
  const { queue, waiting, done } = fakeQueue([]);
  const { consumer } = start(queue, async () => {});
  await settle();
  const stopped = consumer.stop();
  waiting.push({ entryId: 'late', entry: entryOf('late') });
  await vi.advanceTimersByTimeAsync(0);
  await stopped;
  expect(done).toEqual(['late']);
});

test('a consumer whose database hangs stops all the same', async () => {
  const { queue, done } = fakeQueue(['a']);
  const { consumer } = start(queue, () => new Promise(() => {}));
  await settle();
  const stopped = vi.fn<() => void>();
  void consumer.stop().then(stopped);
  await vi.advanceTimersByTimeAsync(3000);
  expect(stopped).toHaveBeenCalledOnce();
  expect(done).toEqual([]);
});
