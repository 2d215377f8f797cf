import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Registry, WorkerSign } from './port.ts';
import { startReaper } from './reaper.ts';
import type { Reaper } from './reaper.ts';

let reaper: Reaper | undefined;
beforeEach(() => void vi.useFakeTimers());
afterEach(async () => {
  await reaper?.stop();
  vi.useRealTimers();
});

/** A shard on which five workers live, and nobody else looks after it. */
function start() {
  const shard = {
    jobs: 0,
    /** Whoever has the lease; `us` is the reaper of this test. */
    holder: undefined as string | undefined,
    dead: new Set<string>(),
    hung: new Set<string>(),
    removed: new Set<string>(),
    views: 0,
    taken: [] as string[],
    deaths: [] as string[],
    /** Called while a view is under way, after Redis has answered. */
    onAnswer: () => {},
  };
  const signs = (): WorkerSign[] =>
    ['a', 'b', 'c', 'd', 'e']
      .filter((name) => !shard.removed.has(name))
      .map((name) => ({
        name,
        beat: shard.hung.has(name) ? 'last' : String(Math.floor(performance.now() / 250)),
        listening: !shard.dead.has(name),
      }));
  const registry: Registry = {
    async view(lead) {
      shard.views += 1;
      if (lead) shard.holder ??= 'us';
      const view = { leads: shard.holder === 'us' && lead, jobs: shard.jobs, signs: signs() };
      shard.onAnswer();
      return view;
    },
    connections: async (names) =>
      new Map(names.map((name) => [name, shard.dead.has(name) ? 0 : 1])),
    disconnect: async () => {},
    remove: async (name) => void shard.removed.add(name),
    async releaseLease() {
      if (shard.holder === 'us') shard.holder = undefined;
    },
  };
  reaper = startReaper({
    registry,
    async takeFrom(name) {
      shard.taken.push(name);
      return 1;
    },
    events: {
      onDeath: (name, cause) => shard.deaths.push(`${name} ${cause}`),
      onTakeover: () => {},
      onFalseAlarm: () => {},
      onError: (error) => {
        throw error;
      },
    },
  });
  return Object.assign(shard, { reaper });
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Until nothing was open for long. */
async function startResting() {
  const shard = start();
  await pass(3000);
  shard.views = 0;
  return shard;
}

test('a reaper with open jobs views the registry every 10 ms and keeps its lease', async () => {
  const shard = start();
  shard.jobs = 1;
  await pass(10_000);
  expect(shard.views).toBeGreaterThan(900);
  expect(shard.holder).toBe('us');
});

test('a reaper without open jobs views the registry four times a second and gives its lease back', async () => {
  const shard = await startResting();
  await pass(10_000);
  expect(shard.views).toBeLessThanOrEqual(41);
  expect(shard.holder).toBeUndefined();
});

test('a reaper rests only after a second without jobs', async () => {
  const shard = start();
  for (let i = 0; i < 10; i++) {
    shard.jobs = 1;
    await pass(20);
    shard.jobs = 0;
    await pass(900);
  }
  expect(shard.views).toBeGreaterThan(800);
});

test('a resting reaper that a request wakes views the registry at once and takes the lease', async () => {
  const shard = await startResting();
  shard.jobs = 1;
  shard.reaper.wake();
  await pass(0);
  expect(shard.views).toBe(1);
  expect(shard.holder).toBe('us');
  await pass(100);
  expect(shard.views).toBeGreaterThan(9);
});

test('a request that is sent during the last view before the rest keeps the reaper awake', async () => {
  const shard = start();
  shard.onAnswer = () => {
    if (performance.now() < 1000) return;
    shard.onAnswer = () => {};
    shard.jobs = 1;
    shard.reaper.wake();
  };
  await pass(1000);
  shard.views = 0;
  await pass(100);
  expect(shard.views).toBeGreaterThan(9);
});

test('a request that is sent during a view of a resting reaper makes it view again with the lease', async () => {
  const shard = await startResting();
  shard.onAnswer = () => {
    shard.onAnswer = () => {};
    shard.jobs = 1;
    shard.reaper.wake();
  };
  await pass(250);
  expect(shard.holder).toBe('us');
});

test('a resting reaper finds jobs that another ingress has submitted, and stands by', async () => {
  const shard = await startResting();
  shard.jobs = 1;
  shard.holder = 'them';
  await pass(1250);
  expect(shard.views).toBeGreaterThan(19);
  expect(shard.views).toBeLessThan(30);
  // It dies together with a worker.
  shard.holder = undefined;
  shard.dead.add('a');
  await pass(60);
  expect(shard.taken[0]).toBe('a');
});

test('a worker that dies while the reaper rests is confirmed dead by a reaper that holds the lease', async () => {
  const shard = await startResting();
  shard.dead.add('a');
  await pass(260);
  expect(shard.deaths).toEqual(['a gone']);
  expect(shard.holder).toBe('us');
});

test('a worker that hangs while the reaper rests is found in the usual time', async () => {
  const shard = await startResting();
  shard.hung.add('a');
  await pass(1400);
  expect(shard.deaths).toEqual([]);
  await pass(700);
  expect(shard.deaths).toEqual(['a hung']);
});

test('a reaper that is told of a death views the registry at once, whether it rests or not', async () => {
  const shard = await startResting();
  shard.dead.add('a');
  shard.reaper.checkNow();
  await pass(0);
  expect(shard.deaths).toEqual(['a gone']);
  shard.dead.add('b');
  shard.reaper.checkNow();
  await pass(0);
  expect(shard.deaths).toEqual(['a gone', 'b gone']);
});
