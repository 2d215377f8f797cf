import { afterEach, expect, test } from 'vitest';
import { startFetching } from './fetch-loop.ts';
import type { Fetching } from './fetch-loop.ts';
import { createPlaces } from './concurrency.ts';
import type { Places } from './concurrency.ts';

// The loop without Redis: a sleep ends when its test says so, and no other one does.

type Line = {
  waiting: string[];
  isAsleep: Promise<void>;
  wake(): void;
  fetching: Fetching<string>;
};

const turn = () => new Promise((resolve) => setImmediate(resolve));
const closings: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closings.splice(0).map((close) => close()));
});

let running: { job: string; end(): void }[] = [];
const jobs = () => running.map(({ job }) => job);

type Fetch = (most: number) => Promise<{ jobs: string[]; left: boolean }>;

const mostAtOnce = 4;
const isLast = (job: string | undefined) => ({ jobs: job === undefined ? [] : [job], left: false });

/** A line of jobs whose sleep ends with the test, or when it is woken. */
function open(places: Places, waiting: string[], fetch?: Fetch): Line {
  running = closings.length === 0 ? [] : running;
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  let wake = () => {};
  const asleep = Promise.withResolvers<void>();
  const fetching = startFetching<string>({
    places,
    mostAtOnce,
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
    places.close();
    end();
    const stopped = fetching.stop();
    for (const { end } of running) end();
    await stopped;
  });
  return { waiting, isAsleep: asleep.promise, wake: () => wake(), fetching };
}

test('a place that is added is used at once, and one that is taken away when its job has ended', async () => {
  const places = createPlaces(1);
  open(places, ['a', 'b', 'c', 'd', 'e', 'f']);
  await expect.poll(jobs).toEqual(['a']);
  places.set(3);
  await expect.poll(jobs).toEqual(['a', 'b', 'c']);
  places.set(1);
  running[0]?.end();
  running[1]?.end();
  await turn();
  expect(jobs()).toEqual(['a', 'b', 'c']);
  running[2]?.end();
  await expect.poll(jobs).toEqual(['a', 'b', 'c', 'd']);
});

test('without a place nothing is fetched, and with the first one it is', async () => {
  const places = createPlaces(0);
  const { waiting } = open(places, ['a']);
  await turn();
  expect(waiting).toEqual(['a']);
  places.set(1);
  await expect.poll(jobs).toEqual(['a']);
});

test('a look is made while it sleeps', async () => {
  const { waiting, isAsleep, fetching } = open(createPlaces(4), []);
  await isAsleep;
  waiting.push('a');
  fetching.look();
  await expect.poll(jobs).toEqual(['a']);
});

test('a look that is asked for while a fetch is under way is made behind it', async () => {
  const answers: ((job: string | undefined) => void)[] = [];
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer({ ...isLast(job), left: !!job })));
  const { fetching } = open(createPlaces(4), [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  // The job comes when the first fetch has looked, and its answer is on the way.
  fetching.look();
  answers[0]?.(undefined);
  await expect.poll(() => answers.length).toBe(2);
  answers[1]?.('a');
  await expect.poll(jobs).toEqual(['a']);
  await expect.poll(() => answers.length).toBe(3);
  answers[2]?.(undefined);
});

test('who is woken while the fetch of a look is under way looks again behind it', async () => {
  const answers: ((job: string | undefined) => void)[] = [];
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer(isLast(job))));
  const { fetching, isAsleep, wake } = open(createPlaces(4), [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  answers[0]?.(undefined);
  await isAsleep;
  fetching.look();
  await expect.poll(() => answers.length).toBe(2);
  // The look has found nothing, its answer is on the way, and then the job comes.
  wake();
  await turn();
  answers[1]?.(undefined);
  await expect.poll(() => answers.length).toBe(3);
  answers[2]?.('a');
  await expect.poll(jobs).toEqual(['a']);
});

test('shards take turns with the places that become free', async () => {
  const places = createPlaces(1);
  open(places, ['a1', 'a2', 'a3', 'a4']);
  open(places, ['b1', 'b2', 'b3', 'b4']);
  for (let i = 0; i < 8; i++) {
    await expect.poll(() => running.length).toBe(i + 1);
    running[i]?.end();
  }
  expect(jobs()).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4']);
});

test('one fetch brings as many jobs as there are places, up to a bound, and one runs in each place', async () => {
  const places = createPlaces(6);
  const asked: number[] = [];
  const waiting = Array.from({ length: 9 }, (_, i) => `j${i}`);
  open(places, waiting, async (most) => {
    asked.push(most);
    return { jobs: waiting.splice(0, most), left: waiting.length > 0 };
  });
  await expect.poll(() => running.length).toBe(6);
  expect(asked).toEqual([4, 2]);
  expect(places.free).toBe(false);
});

test('the places that become free in one turn are filled by one fetch', async () => {
  const places = createPlaces(3);
  const asked: number[] = [];
  const waiting = ['a', 'b', 'c', 'd', 'e'];
  open(places, waiting, async (most) => {
    asked.push(most);
    return { jobs: waiting.splice(0, most), left: waiting.length > 0 };
  });
  await expect.poll(jobs).toEqual(['a', 'b', 'c']);
  running[0]?.end();
  // Later in the same turn, when who waits in line for the first place has it already.
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
  running[1]?.end();
  await expect.poll(jobs).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(asked).toEqual([3, 2]);
});

test('places that a fetch did not need are free before its jobs begin', async () => {
  const places = createPlaces(4);
  const answered = Promise.withResolvers<{ jobs: string[]; left: boolean }>();
  open(places, [], () => answered.promise);
  await turn();
  places.set(2);
  const isOver: boolean[] = [];
  const push = running.push.bind(running);
  running.push = (...more) => {
    isOver.push(places.over);
    return push(...more);
  };
  answered.resolve({ jobs: ['a', 'b'], left: false });
  await expect.poll(jobs).toEqual(['a', 'b']);
  expect(isOver).toEqual([false, false]);
});

test('a worker whose last place was taken does not sleep, and looks when one is free again', async () => {
  const places = createPlaces(1);
  const { waiting, isAsleep } = open(places, ['a']);
  let sleeps = false;
  void isAsleep.then(() => (sleeps = true));
  await expect.poll(jobs).toEqual(['a']);
  await turn();
  expect(sleeps).toBe(false);
  waiting.push('b');
  running[0]?.end();
  await expect.poll(jobs).toEqual(['a', 'b']);
});

test('of the places that are free a shard leaves a share to the others', async () => {
  const places = createPlaces(4, 2);
  const asked: number[] = [];
  const fetch: Fetch = async (most) => {
    asked.push(most);
    return { jobs: [], left: false };
  };
  open(places, [], fetch);
  await turn();
  expect(asked).toEqual([3]);
});

test('a fetch that fails is tried again', async () => {
  let tries = 0;
  const fetch: Fetch = async () => {
    tries += 1;
    if (tries === 1) throw new Error('READONLY');
    return isLast(tries === 2 ? 'a' : undefined);
  };
  open(createPlaces(1), [], fetch);
  await expect.poll(jobs).toEqual(['a']);
});

test('stops with a fetch under way, and runs what it brings to its end', async () => {
  const answers: ((job: string) => void)[] = [];
  const places = createPlaces(1);
  const fetch: Fetch = () =>
    new Promise((answer) => void answers.push((job) => answer(isLast(job))));
  const { fetching } = open(places, [], fetch);
  await expect.poll(() => answers.length).toBe(1);
  places.close();
  let hasStopped = false;
  const stopped = fetching.stop().then(() => (hasStopped = true));
  answers[0]?.('a');
  await expect.poll(jobs).toEqual(['a']);
  expect(hasStopped).toBe(false);
  running[0]?.end();
  await stopped;
});
