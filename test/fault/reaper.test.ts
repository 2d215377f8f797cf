import { setTimeout as sleep } from 'node:timers/promises';
import { keyspace } from '@millrace/shared/store/keys';
import { reaperLeaseMs, startReaper } from '@millrace/shared/store/membership/reaper';
import { createRedisRegistry } from '@millrace/shared/store/membership/redis-registry';
import { afterEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import { expectWhole } from '../kit/judge.ts';
import { expectAlive, observeQueue } from '../kit/observe.ts';
import { counters, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

const { text, models } = slowAnswer(200);
const keys = keyspace();
const calm = { deaths: { gone: 0, hung: 0 }, takeovers: 0, falseAlarms: 0 };

async function start(options: FleetOptions = {}): Promise<void> {
  fleet = await startFleet({ workers: 1, models, ...options });
}

test('two reapers that both think they lead take every request once', async () => {
  await start();
  const redis = fleet.redis.connect();
  const queue = observeQueue(fleet);
  const board = createRedisRegistry({
    redis,
    keys,
    shard: 0,
    reaper: 'rival',
    leaseMs: reaperLeaseMs,
  });
  let taken = 0;
  const rival = startReaper({
    registry: { ...board, view: async (lead) => ({ ...(await board.view(lead)), leads: true }) },
    takeFrom: (worker) => queue.takeFrom(0, worker),
    events: {
      onDeath: () => {},
      onTakeover: (_worker, jobs) => (taken += jobs),
      onFalseAlarm: () => {},
      onError: () => {},
    },
  });
  const streams = await openStreams(fleet.url, 'pair', 30);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();

  await killed(first);

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(taken + (await counters(fleet.url)).takeovers).toBe(30);
  expect(fleet.backup.requests).toHaveLength(30);
  await rival.stop();
});

test('a reaper that dies together with a worker is replaced in time for its streams', async () => {
  await start({ ingresses: 1 });
  const [leader] = fleet.ingresses as [RoleProcess];
  const next = await fleet.addIngress();
  const streams = await openStreams(next.url, 'pair', 30);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();
  await sleep(200); // The one that stands by has seen both workers.

  const [at] = await Promise.all([killed(first), killed(leader)]);

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  const asked = fleet.backup.requests.map(({ arrivedAt }) => arrivedAt - at);
  expect(asked).toHaveLength(30);
  expect(Math.max(...asked)).toBeLessThan(600);
  expect(await counters(next.url)).toMatchObject({ takeovers: 30, falseAlarms: 0 });
});

test('a Redis that restarts during 100 streams makes nobody look dead, and nothing is taken over', async () => {
  await start({ workers: 2, ingresses: 2 });
  const streams = await openStreams(fleet.url, 'pair', 100);

  await fleet.redis.kill('SIGTERM');
  await sleep(700); // Long enough for the workers to come back one after the other.
  await fleet.redis.start();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  for (const { url } of fleet.ingresses) expect(await counters(url)).toEqual(calm);
  expect(fleet.backup.requests).toEqual([]);
  expectAlive([...fleet.workers, ...fleet.ingresses]);
});

test('a worker that comes back later than the others after such a restart does not, either', async () => {
  await start({ workers: 2 });
  const streams = await openStreams(fleet.url, 'pair', 10);
  const [late] = fleet.workers as [RoleProcess];

  late.child.kill('SIGSTOP');
  await fleet.redis.kill('SIGTERM');
  await fleet.redis.start();
  // The reaper is there again, and looks at a worker that has no connection at all.
  await sleep(1000);
  late.child.kill('SIGCONT');

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(await counters(fleet.url)).toEqual(calm);
});

test('a worker that only loses its subscription is left alone', async () => {
  await start({ workers: 2 });
  const redis = fleet.redis.connect();
  const streams = await openStreams(fleet.url, 'pair', 10);
  for (let i = 0; i < 5; i++) {
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await sleep(150);
  }
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(await counters(fleet.url)).toEqual(calm);
});

test('a worker that dies while Redis is away is found when it is back', async () => {
  await start();
  const streams = await openStreams(fleet.url, 'pair', 10);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();

  await fleet.redis.kill('SIGTERM');
  await killed(first);
  await fleet.redis.start();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(await counters(fleet.url)).toMatchObject({ deaths: { gone: 1 }, takeovers: 10 });
});
