import { setTimeout as sleep } from 'node:timers/promises';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Outcome, ProcessCase, Stage } from '../case.ts';
import { gather, pausesAfter, quantile, unmeasured, verdictOf } from '../crowd.ts';
import type { Crowd } from '../crowd.ts';
import { withFleet } from '../fleet.ts';
import type { Fleet, RoleProcess } from '../fleet.ts';
import { callsOf } from '../rig.ts';
import { markerOf } from '../scenario.ts';

/* M01 and M02: a worker with many streams is killed, or stopped. */

const streams = { fast: 50, full: 100 };
const tokens = { fast: 150, full: 200 };
const paceMs = 40;
/** Events after which an answer is in its middle. */
const midway = 10;

/** M01: the pause of the readers, and of the backup's first request; milliseconds. */
const killed = { p95: 100, most: 250 };
/** M02: only its length distinguishes a hang from a pause; milliseconds. */
const hungWithinMs = 3000;
/** Milliseconds after it woke within which the zombie's upstream calls must have ended. */
const zombieEndsMs = 1000;

export const workerKilled: ProcessCase = {
  kind: 'process',
  id: 'M01',
  title: 'a worker is killed (SIGKILL) with many streams on it',
  run: (stage) =>
    withCrowd('M01', stage, async (fleet, crowd, victim) => {
      const incidentAt = exactTime();
      victim.child.kill('SIGKILL');
      const told = await crowd.ended;
      const pauses = pausesAfter(incidentAt, crowd, told, fleet.backup);
      const asked = callsOf(fleet.backup, crowd.marker).map((call) => call.arrivedAt - incidentAt);
      const figures = {
        backupAskedFirstMs: quantile(asked, 0),
        backupAskedP95Ms: quantile(asked, 0.95),
        nextTextP95Ms: quantile(pauses, 0.95),
        nextTextMaxMs: quantile(pauses, 1),
      };
      const complaints = [
        ...over('the backup was asked', quantile(asked, 0.95), killed.p95, 'p95'),
        ...over('the next text came', figures.nextTextP95Ms, killed.p95, 'p95'),
        ...over('the next text came', figures.nextTextMaxMs, killed.most, 'at most'),
        ...unmeasured(crowd, pauses, fleet.backup),
      ];
      return verdictOf(fleet, crowd, told, complaints, figures);
    }),
};

export const workerHangs: ProcessCase = {
  kind: 'process',
  id: 'M02',
  title: 'a worker hangs (SIGSTOP) and later wakes',
  run: (stage) =>
    withCrowd('M02', stage, async (fleet, crowd, victim) => {
      const incidentAt = exactTime();
      victim.child.kill('SIGSTOP');
      await Promise.race([flowsAgain(crowd, hungWithinMs), crowd.ended]);
      const wokeAt = exactTime();
      victim.child.kill('SIGCONT');
      const zombie = await zombieCalls(fleet, crowd, wokeAt);
      const told = await crowd.ended;
      const pauses = pausesAfter(incidentAt, crowd, told, fleet.backup);
      const complaints = [
        ...over('the next text came', quantile(pauses, 1), hungWithinMs, 'at most'),
        ...(zombie.open > 0 ? [`${zombie.open} calls of the zombie went on`] : []),
        ...unmeasured(crowd, pauses, fleet.backup),
        ...(victim.child.exitCode === null ? [] : [`the zombie ended: ${victim.stderr()}`]),
      ];
      const figures = {
        nextTextP95Ms: quantile(pauses, 0.95),
        nextTextMaxMs: quantile(pauses, 1),
        zombieEndedMs: zombie.endedMs,
      };
      return verdictOf(fleet, crowd, told, complaints, figures);
    }),
};

type Incident = (fleet: Fleet, crowd: Crowd, victim: RoleProcess) => Promise<Outcome>;

/** Every stream is on the first worker; the second one starts when all answers are in their middle. */
async function withCrowd(id: string, stage: Stage, incident: Incident): Promise<Outcome> {
  const style = `tokens=${tokens[stage.profile]},pace=${paceMs}`;
  const targets = [
    { provider: 'primary', model: `healthy:${style}` },
    { provider: 'backup', model: `prefill:${style}`, prefill: true },
  ];
  return withFleet({ workers: 1, models: { crowd: { targets } } }, async (fleet) => {
    const [victim] = fleet.workers;
    if (!victim) throw new Error('no worker');
    const text = expectedText({ tokens: tokens[stage.profile] });
    const crowd = gather(
      fleet.ingresses,
      { alias: 'crowd', count: streams[stage.profile], marker: markerOf(id), text },
      stage,
    );
    await Promise.all([crowd.all(midway), fleet.addWorker()]);
    return incident(fleet, crowd, victim);
  });
}

/** Resolves when every stream has had new events since now, and so is served again, or after about `ms`. */
async function flowsAgain(crowd: Crowd, ms: number): Promise<void> {
  // Data in flight between the processes arrives first.
  await sleep(100);
  const served = crowd.streams.map(({ events, count }) => count(events.length + midway));
  await Promise.race([Promise.all(served), sleep(ms + 1000)]);
}

/** The outcome of the calls of the stopped worker. */
async function zombieCalls(fleet: Fleet, { marker }: Crowd, wokeAt: number) {
  const calls = callsOf(fleet.primary, marker);
  const closed = calls.map(({ number }) =>
    fleet.primary
      .waitFor((one) => one.number === number && one.state !== 'open', { timeoutMs: zombieEndsMs })
      .then((one) => one.closedAt ?? 0)
      .catch(() => undefined),
  );
  const ends = await Promise.all(closed);
  const closedAt = ends.filter((at) => at !== undefined);
  const left = callsOf(fleet.primary, marker).filter(({ state }) => state === 'finished').length;
  return {
    open: ends.length - closedAt.length + left,
    endedMs: Math.max(0, ...closedAt.map((at) => at - wokeAt)),
  };
}

const over = (what: string, ms: number, allowed: number, how: string): string[] => {
  if (Number.isNaN(ms)) return [`when ${what} was not measured`];
  return ms <= allowed ? [] : [`${what} after ${Math.round(ms)} ms, ${how} ${allowed}`];
};
