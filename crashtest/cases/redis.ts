import { setTimeout as sleep } from 'node:timers/promises';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { ProcessCase, Stage } from '../case.ts';
import { send } from '../../test/kit/exchange.ts';
import { gather, verdictOf } from '../crowd.ts';
import type { Crowd } from '../crowd.ts';
import { withFleet } from '../fleet.ts';
import type { Fleet } from '../fleet.ts';
import { readAnswer } from '../../test/kit/reading.ts';
import { attemptsOf, completionsOf, question } from '../rig.ts';
import { markerOf } from '../scenario.ts';

/* M05 and M07: Redis restarts, or is out of memory, with many streams on it. */

const streams = { fast: 20, full: 60 };
const queued = 10;
const tokens = { fast: 100, full: 200 };
const paceMs = 40;
/** Events after which an answer is in its middle. */
const midway = 10;
const workers = 2;

export const redisRestarts: ProcessCase = {
  kind: 'process',
  id: 'M05',
  title: 'Redis restarts (append-only file on), streams running and queued',
  run: (stage) =>
    // Slots for the running streams only.
    withFleet(fleetOf(stage, streams[stage.profile] / workers), async (fleet) => {
      const marker = markerOf('M05');
      const running = open(fleet, stage, `${marker}-running`, streams[stage.profile]);
      await running.all(midway);
      const waiting = open(fleet, stage, `${marker}-queued`, queued);
      await untilQueued(fleet, stage);

      const downAt = exactTime();
      await fleet.redis.kill('SIGTERM');
      await fleet.redis.start();
      const downMs = exactTime() - downAt;

      const told = (await Promise.all([running.ended, waiting.ended])).flat();
      const complaints = [...onceEach(fleet, marker, told.length), ...ended(fleet)];
      return verdictOf(fleet, { marker }, told, complaints, { downMs });
    }),
};

export const redisOutOfMemory: ProcessCase = {
  kind: 'process',
  id: 'M07',
  title: 'Redis is out of memory: running streams end, new work is refused',
  run: (stage) =>
    withFleet(fleetOf(stage, 100), async (fleet) => {
      const marker = markerOf('M07');
      const redis = fleet.redis.connect();
      const running = open(fleet, stage, `${marker}-running`, streams[stage.profile]);
      await running.all(midway);

      await redis.config('SET', 'maxmemory', '1');
      const refused = await Promise.all(
        [true, false].map((stream) => isRefused(fleet, stage, `${marker}-refused`, stream)),
      );
      const told = await running.ended;
      await redis.config('SET', 'maxmemory', '0');

      const after = open(fleet, stage, `${marker}-after`, 1);
      const all = [...told, ...(await after.ended)];
      const complaints = [
        ...refused.flat(),
        ...onceEach(fleet, marker, all.length),
        ...ended(fleet),
      ];
      return verdictOf(fleet, { marker }, all, complaints, {});
    }),
};

const style = ({ profile }: Stage) => `healthy:tokens=${tokens[profile]},pace=${paceMs}`;

/** The backup is there to show that it is not needed. */
const fleetOf = (stage: Stage, workerConcurrency: number) => ({
  workers,
  models: {
    crowd: {
      targets: ['primary', 'backup'].map((provider) => ({ provider, model: style(stage) })),
    },
  },
  config: { limits: { workerConcurrency } },
});

const open = (fleet: Fleet, stage: Stage, marker: string, count: number): Crowd =>
  gather(
    fleet.ingresses,
    { alias: 'crowd', count, marker, text: expectedText({ tokens: tokens[stage.profile] }) },
    stage,
  );

/** Resolves when all waiting requests are in the queue, according to the ingress. */
async function untilQueued(fleet: Fleet, { signal }: Stage): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const page = await (await fetch(`${fleet.url}/metrics`, { signal })).text();
    if (page.includes(`millrace_queue_jobs{state="waiting"} ${queued}\n`)) return;
    await sleep(20);
  }
}

/** New work is rejected for now, with status 503. */
async function isRefused(
  fleet: Fleet,
  { patienceMs, signal }: Stage,
  marker: string,
  stream: boolean,
): Promise<string[]> {
  const body = question('crowd', marker, { stream });
  const answer = await send(completionsOf(fleet.url), { body, patienceMs, signal }).ended;
  const reading = readAnswer(answer);
  if (reading.end !== 'error') return [`new work was not refused: ${reading.why || reading.end}`];
  return [
    ...(answer.status === 503 ? [] : [`new work: status ${answer.status}`]),
    ...(Number(answer.headers['retry-after']) > 0 ? [] : ['new work: no Retry-After']),
  ];
}

function onceEach(fleet: Fleet, marker: string, wanted: number): string[] {
  const { primary, backup } = attemptsOf(fleet, marker);
  return primary === wanted && backup === 0
    ? []
    : [`${primary} and ${backup} requests to the providers for ${wanted} answers`];
}

/** Processes that have ended, although none should. */
const ended = ({ workers, ingresses }: Fleet): string[] =>
  [...workers, ...ingresses].flatMap(({ child, stderr }) =>
    child.exitCode === null && child.signalCode === null ? [] : [`a process ended: ${stderr()}`],
  );
