import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PresenceBoard, Sign } from './port.ts';
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
    forgotten: new Set<string>(),
    looks: 0,
    taken: [] as string[],
    deaths: [] as string[],
    /** Called in the middle of a look, when Redis has answered already. */
    onAnswer: () => {},
  };
  const signs = (): Sign[] =>
    ['a', 'b', 'c', 'd', 'e']
      .filter((name) => !shard.forgotten.has(name))
      .map((name) => ({
        name,
        beat: shard.hung.has(name) ? 'last' : String(Math.floor(performance.now() / 250)),
        listening: !shard.dead.has(name),
      }));
  const board: PresenceBoard = {
    async look(lead) {
      shard.looks += 1;
      if (lead) shard.holder ??= 'us';
      const look = { leads: shard.holder === 'us' && lead, jobs: shard.jobs, signs: signs() };
      shard.onAnswer();
      return look;
    },
    connections: async (names) =>
      new Map(names.map((name) => [name, shard.dead.has(name) ? 0 : 1])),
    cut: async () => {},
    forget: async (name) => void shard.forgotten.add(name),
    async resign() {
      if (shard.holder === 'us') shard.holder = undefined;
    },
  };
  reaper = startReaper({
    board,
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
  shard.looks = 0;
  return shard;
}

test('a reaper with open jobs looks every 10 ms and keeps its lease', async () => {
  const shard = start();
  shard.jobs = 1;
  await pass(10_000);
  expect(shard.looks).toBeGreaterThan(900);
  expect(shard.holder).toBe('us');
});

test('a reaper without open jobs looks four times a second and gives its lease back', async () => {
  const shard = await startResting();
  await pass(10_000);
  expect(shard.looks).toBeLessThanOrEqual(41);
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
  expect(shard.looks).toBeGreaterThan(800);
});

test('a resting reaper that is woken by a request looks at once, and leads', async () => {
  const shard = await startResting();
  shard.jobs = 1;
  shard.reaper.wake();
  await pass(0);
  expect(shard.looks).toBe(1);
  expect(shard.holder).toBe('us');
  await pass(100);
  expect(shard.looks).toBeGreaterThan(9);
});

test('a request that is sent while the last look before the rest is under way keeps the reaper awake', async () => {
  const shard = start();
  shard.onAnswer = () => {
    if (performance.now() < 1000) return;
    shard.onAnswer = () => {};
    shard.jobs = 1;
    shard.reaper.wake();
  };
  await pass(1000);
  shard.looks = 0;
  await pass(100);
  expect(shard.looks).toBeGreaterThan(9);
});

test('a request that is sent while a reaper at rest looks has it look again, as the leader', async () => {
  const shard = await startResting();
  shard.onAnswer = () => {
    shard.onAnswer = () => {};
    shard.jobs = 1;
    shard.reaper.wake();
  };
  await pass(250);
  expect(shard.holder).toBe('us');
});

test('a reaper that rests finds the jobs that another one has sent, and stands by', async () => {
  const shard = await startResting();
  shard.jobs = 1;
  shard.holder = 'them';
  await pass(1250);
  expect(shard.looks).toBeGreaterThan(19);
  expect(shard.looks).toBeLessThan(30);
  // It dies together with a worker.
  shard.holder = undefined;
  shard.dead.add('a');
  await pass(60);
  expect(shard.taken[0]).toBe('a');
});

test('a worker that dies while the reaper rests is buried by one that has the lease', async () => {
  const shard = await startResting();
  shard.dead.add('a');
  await pass(260);
  expect(shard.deaths).toEqual(['a gone']);
  expect(shard.holder).toBe('us');
});

test('a worker that stands still while the reaper rests is found in the usual time', async () => {
  const shard = await startResting();
  shard.hung.add('a');
  await pass(1400);
  expect(shard.deaths).toEqual([]);
  await pass(700);
  expect(shard.deaths).toEqual(['a hung']);
});

test('a reaper that is told of a death looks at once, whether it rests or not', async () => {
  const shard = await startResting();
  shard.dead.add('a');
  shard.reaper.lookNow();
  await pass(0);
  expect(shard.deaths).toEqual(['a gone']);
  shard.dead.add('b');
  shard.reaper.lookNow();
  await pass(0);
  expect(shard.deaths).toEqual(['a gone', 'b gone']);
});
