import { afterEach, expect, test } from 'vitest';
import { startFetchLoop } from './fetch-loop.ts';
import type { FetchLoop } from './fetch-loop.ts';
import { createConcurrencyLimit } from './concurrency.ts';
import type { ConcurrencyLimit } from './concurrency.ts';

// The loop without Redis: a sleep ends when its test says so, and no other one does.

type Setup = {
  waiting: string[];
  isAsleep: Promise<void>;
  wake(): void;
  loop: FetchLoop<string>;
};

const turn = () => new Promise((resolve) => setImmediate(resolve));
const closings: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closings.splice(0).map((close) => close()));
});

let running: { job: string; end(): void }[] = [];
const jobs = () => running.map(({ job }) => job);

type Fetch = (most: number) => Promise<{ jobs: string[]; left: boolean }>;

const maxPerFetch = 4;
const isLast = (job: string | undefined) => ({ jobs: job === undefined ? [] : [job], left: false });

/** Opens a loop over these jobs, whose sleep ends with the test or when the test wakes it. */
function open(limit: ConcurrencyLimit, waiting: string[], fetch?: Fetch): Setup {
  running = closings.length === 0 ? [] : running;
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  let wake = () => {};
  const asleep = Promise.withResolvers<void>();
  const loop = startFetchLoop<string>({
    limit,
    maxPerFetch,
    fetch:
      fetch ??
      (async (most) => {
        const jobs = waiting.splice(0, most);
        return { jobs, left: waiting.length > 0 };
      }),
    run: (job) => new Promise((end) => running.push({ job, end })),
    sleep: () => {
      asleep.resolve();
      const woken = new Promise<void>((resolve) => (wake = resolve));
      return Promise.race([over, woken]);
    },
    onError: () => {},
  });
  closings.push(async () => {
    limit.close();
    end();
    const stopped = loop.stop();
    for (const { end } of running) end();
    await stopped;
  });
  return { waiting, isAsleep: asleep.promise, wake: () => wake(), loop };
}

test('a raised limit takes effect at once, and a lowered one when jobs have ended', async () => {
  const limit = createConcurrencyLimit(1);
  open(limit, ['a', 'b', 'c', 'd', 'e', 'f']);
  await expect.poll(jobs).toEqual(['a']);
  limit.set(3);
  await expect.poll(jobs).toEqual(['a', 'b', 'c']);
  limit.set(1);
  running[0]?.end();
  running[1]?.end();
  await turn();
  expect(jobs()).toEqual(['a', 'b', 'c']);
  running[2]?.end();
  await expect.poll(jobs).toEqual(['a', 'b', 'c', 'd']);
});

test('the loop fetches nothing while the limit is 0, and begins when it is raised', async () => {
  const limit = createConcurrencyLimit(0);
  const { waiting } = open(limit, ['a']);
  await turn();
  expect(waiting).toEqual(['a']);
  limit.set(1);
  await expect.poll(jobs).toEqual(['a']);
});

test('fetchNow fetches although the loop sleeps', async () => {
  const { waiting, isAsleep, loop } = open(createConcurrencyLimit(4), []);
  await isAsleep;
  waiting.push('a');
  loop.fetchNow();
  await expect.poll(jobs).toEqual(['a']);
});

test('fetchNow during a fetch causes another fetch after it', async () => {
  const answers: ((job: string | undefined) => void)[] = [];
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer({ ...isLast(job), left: !!job })));
  const { loop } = open(createConcurrencyLimit(4), [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  // The job comes when Redis has executed the first fetch and its answer is on the way.
  loop.fetchNow();
  answers[0]?.(undefined);
  await expect.poll(() => answers.length).toBe(2);
  answers[1]?.('a');
  await expect.poll(jobs).toEqual(['a']);
  await expect.poll(() => answers.length).toBe(3);
  answers[2]?.(undefined);
});

test('a wake-up during a fetch causes another fetch after it', async () => {
  const answers: ((job: string | undefined) => void)[] = [];
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer(isLast(job))));
  const { loop, isAsleep, wake } = open(createConcurrencyLimit(4), [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  answers[0]?.(undefined);
  await isAsleep;
  loop.fetchNow();
  await expect.poll(() => answers.length).toBe(2);
  // The fetch has found nothing, its answer is on the way, and then the job comes.
  wake();
  await turn();
  answers[1]?.(undefined);
  await expect.poll(() => answers.length).toBe(3);
  answers[2]?.('a');
  await expect.poll(jobs).toEqual(['a']);
});

test('shards take turns with the slots that become free', async () => {
  const limit = createConcurrencyLimit(1);
  open(limit, ['a1', 'a2', 'a3', 'a4']);
  open(limit, ['b1', 'b2', 'b3', 'b4']);
  for (let i = 0; i < 8; i++) {
    await expect.poll(() => running.length).toBe(i + 1);
    running[i]?.end();
  }
  expect(jobs()).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4']);
});

test('one fetch brings as many jobs as there are free slots, up to a bound, and all of them run', async () => {
  const limit = createConcurrencyLimit(6);
  const asked: number[] = [];
  const waiting = Array.from({ length: 9 }, (_, i) => `j${i}`);
  open(limit, waiting, async (most) => {
    asked.push(most);
    return { jobs: waiting.splice(0, most), left: waiting.length > 0 };
  });
  await expect.poll(() => running.length).toBe(6);
  expect(asked).toEqual([4, 2]);
  expect(limit.hasFree).toBe(false);
});

test('one fetch fills the slots that become free in one turn of the event loop', async () => {
  const limit = createConcurrencyLimit(3);
  const asked: number[] = [];
  const waiting = ['a', 'b', 'c', 'd', 'e'];
  open(limit, waiting, async (most) => {
    asked.push(most);
    return { jobs: waiting.splice(0, most), left: waiting.length > 0 };
  });
  await expect.poll(jobs).toEqual(['a', 'b', 'c']);
  running[0]?.end();
  // Later in the same turn, when the waiting fetcher has the first slot already.
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
  running[1]?.end();
  await expect.poll(jobs).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(asked).toEqual([3, 2]);
});

test('slots that a fetch did not need are free before its jobs begin', async () => {
  const limit = createConcurrencyLimit(4);
  const answered = Promise.withResolvers<{ jobs: string[]; left: boolean }>();
  open(limit, [], () => answered.promise);
  await turn();
  limit.set(2);
  const isOver: boolean[] = [];
  const push = running.push.bind(running);
  running.push = (...more) => {
    isOver.push(limit.isExceeded);
    return push(...more);
  };
  answered.resolve({ jobs: ['a', 'b'], left: false });
  await expect.poll(jobs).toEqual(['a', 'b']);
  expect(isOver).toEqual([false, false]);
});

test('a loop without a free slot does not sleep, and fetches when one is free again', async () => {
  const limit = createConcurrencyLimit(1);
  const { waiting, isAsleep } = open(limit, ['a']);
  let sleeps = false;
  void isAsleep.then(() => (sleeps = true));
  await expect.poll(jobs).toEqual(['a']);
  await turn();
  expect(sleeps).toBe(false);
  waiting.push('b');
  running[0]?.end();
  await expect.poll(jobs).toEqual(['a', 'b']);
});

test('a shard leaves a share of the free slots to the other shards', async () => {
  const limit = createConcurrencyLimit(4, 2);
  const asked: number[] = [];
  const fetch: Fetch = async (most) => {
    asked.push(most);
    return { jobs: [], left: false };
  };
  open(limit, [], fetch);
  await turn();
  expect(asked).toEqual([3]);
});

test('a fetch that fails is repeated', async () => {
  let tries = 0;
  const fetch: Fetch = async () => {
    tries += 1;
    if (tries === 1) throw new Error('READONLY');
    return isLast(tries === 2 ? 'a' : undefined);
  };
  open(createConcurrencyLimit(1), [], fetch);
  await expect.poll(jobs).toEqual(['a']);
});

test('stopping waits for a fetch under way and for the jobs that it brings', async () => {
  const answers: ((job: string) => void)[] = [];
  const limit = createConcurrencyLimit(1);
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer(isLast(job))));
  const { loop } = open(limit, [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  limit.close();
  let hasStopped = false;
  const stopped = loop.stop().then(() => (hasStopped = true));
  answers[0]?.('a');
  await expect.poll(jobs).toEqual(['a']);
  expect(hasStopped).toBe(false);
  running[0]?.end();
  await stopped;
});
