import { setTimeout as sleep } from 'node:timers/promises';
import { keyspace } from '@millrace/shared/store/keys';
import { reaperLeaseMs, startReaper } from '@millrace/shared/store/membership/reaper';
import { createRedisRegistry } from '@millrace/shared/store/membership/redis-registry';
import { afterEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { expectAlive, observeQueue } from '../kit/observe.ts';
import { counters, followed, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

/** Longer than the tests wait for anything: only `hurry` ends it. */
const { text, models } = slowAnswer(200, 200);
const keys = keyspace();
const calm = { deaths: { gone: 0, hung: 0 }, takeovers: 0, falseAlarms: 0 };

async function start(options: FleetOptions = {}): Promise<void> {
  fleet = await startFleet({ workers: 1, models, ...options });
}

/** Each is shown pieces for longer than a reaper waits for a sign of a worker. */
async function goOn(streams: readonly Stream[]): Promise<void> {
  const pieces = 20;
  await Promise.all(
    streams.map((stream) => {
      const wanted = stream.events.length + pieces;
      return stream.until(({ events }) => events.length >= wanted);
    }),
  );
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
  const streams = await openStreams(fleet.url, 'pair', 30, 3);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();

  await killed(first);
  await followed(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  await expect.poll(async () => taken + (await counters(fleet.url)).takeovers).toBe(30);
  expect(fleet.backup.requests).toHaveLength(30);
  await rival.stop();
});

test('a Redis that restarts during 100 streams makes nobody look dead, and nothing is taken over', async () => {
  await start({ workers: 2, ingresses: 2 });
  const streams = await openStreams(fleet.url, 'pair', 100, 3);

  await fleet.redis.kill('SIGTERM');
  await sleep(700); // Long enough for the workers to come back one after the other.
  await fleet.redis.start();
  await goOn(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  for (const { url } of fleet.ingresses) expect(await counters(url)).toEqual(calm);
  expect(fleet.backup.requests).toEqual([]);
  expectAlive([...fleet.workers, ...fleet.ingresses]);
});

test('a worker that comes back later than the others after such a restart does not, either', async () => {
  await start({ workers: 2 });
  const streams = await openStreams(fleet.url, 'pair', 10, 3);
  const [late] = fleet.workers as [RoleProcess];

  late.child.kill('SIGSTOP');
  await fleet.redis.kill('SIGTERM');
  await fleet.redis.start();
  // The reaper is there again, and looks at a worker that has no connection at all.
  await sleep(1000);
  late.child.kill('SIGCONT');
  await goOn(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(await counters(fleet.url)).toEqual(calm);
});

test('a worker that only loses its subscription is left alone', async () => {
  await start({ workers: 2 });
  const redis = fleet.redis.connect();
  const streams = await openStreams(fleet.url, 'pair', 10, 3);
  for (let i = 0; i < 5; i++) {
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await sleep(150);
  }
  await goOn(streams);
  fleet.hurry();
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(await counters(fleet.url)).toEqual(calm);
});

test('a worker that dies while Redis is away is found when it is back', async () => {
  await start();
  const streams = await openStreams(fleet.url, 'pair', 10, 3);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();

  await fleet.redis.kill('SIGTERM');
  await killed(first);
  await fleet.redis.start();
  await followed(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  await expect
    .poll(() => counters(fleet.url))
    .toMatchObject({ deaths: { gone: 1 }, takeovers: 10 });
});
