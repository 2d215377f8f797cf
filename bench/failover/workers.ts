import type { Stage } from '../../crashtest/case.ts';
import { gather } from '../../crashtest/crowd.ts';
import { callsOf } from '../../crashtest/rig.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Fleet, RoleProcess } from '../../test/kit/fleet.ts';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Outcome } from './figures.ts';
import { noteTokens, outcomeOf, rescueOf, shownByNextRun } from './rescue.ts';
import type { Story } from './rescue.ts';

/* Measures a worker that is killed, or stopped, with all streams on it. */

/** Longer than a worker takes to start on a busy machine: a stream that has ended is not taken over. */
const TOKENS = 150;
const PACE_MS = 40;
const WARMUP = { count: 60, text: expectedText({ tokens: 60 }) };

const text = expectedText({ tokens: TOKENS });
const pair = (primary: string, backup: string) => ({
  targets: [
    { provider: 'primary', model: primary },
    { provider: 'backup', model: `prefill:${backup}`, prefill: true },
  ],
});
const style = `tokens=${TOKENS},pace=${PACE_MS}`;
const models = {
  crowd: pair(`healthy:${style}`, style),
  warm: pair('cut:after=40,tokens=60', 'tokens=60'),
};

const INCIDENTS = {
  killed: { signal: 'SIGKILL', figures: { asked: 'killedAsked', next: 'killedNext' } },
  hung: { signal: 'SIGSTOP', figures: { asked: 'hungAsked', next: 'hungNext' } },
} as const satisfies Record<string, { signal: NodeJS.Signals; figures: Story['figures'] }>;
export type IncidentName = keyof typeof INCIDENTS;

export interface WorkerRig {
  round(incident: IncidentName, streams: number, stage: Stage): Promise<Outcome>;
  close(): Promise<void>;
}

/**
 * Two ingresses. Each round: one worker has all streams, a second one starts, the first one is killed. The
 * second one is the next round's first.
 */
export async function startWorkerRig(): Promise<WorkerRig> {
  const fleet = await startFleet({ ingresses: 2, models });
  const times = noteTokens(fleet.backup);
  let rounds = 0;

  async function round(name: IncidentName, streams: number, stage: Stage): Promise<Outcome> {
    rounds += 1;
    const marker = `${name}-${rounds}`;
    const { figures, signal } = INCIDENTS[name];
    const victim = fleet.workers.at(-1) as RoleProcess;
    const asked = { alias: 'crowd', count: streams, marker, text, eventIds: true };
    const crowd = gather(fleet.ingresses, asked, stage);
    await crowd.all(2);
    await fleet.addWorker();
    await warmUp(fleet, `warm-${rounds}`, stage);
    stage.signal.throwIfAborted();
    const at = exactTime();
    victim.child.kill(signal);
    const told = await crowd.ended;
    // A stopped process must not continue in the next round.
    await victim.stop('SIGKILL');
    return outcomeOf(
      told.map((one, i) => {
        const calls = callsOf(fleet.backup, `${marker}-${i}.`);
        const shownAt = shownByNextRun(one.ended.events);
        const rescue = rescueOf({ at, told: one, calls, times, shownAt });
        return { name: `${marker}-${i}`, figures, rescue };
      }),
    );
  }

  return { round, close: () => fleet.close() };
}

/** Real fleets do not consist of processes that have never served a request. */
async function warmUp(fleet: Fleet, marker: string, stage: Stage): Promise<void> {
  await gather(fleet.ingresses, { alias: 'warm', marker, ...WARMUP }, stage).ended;
}
