import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Outcome, ProcessCase, Stage } from '../case.ts';
import { worst } from '../crowd.ts';
import { withFleet } from '../fleet.ts';
import type { Fleet, RoleProcess } from '../fleet.ts';
import { startReader } from '../reader.ts';
import { attemptsOf } from '../rig.ts';
import { markerOf } from '../scenario.ts';

const readers = 20;
const tokens = 100;
const paceMs = 20;
const midway = 20;

/** M03: readers of a killed ingress reconnect to another one with their cursor. */
export const ingressKilled: ProcessCase = {
  kind: 'process',
  id: 'M03',
  title: 'an ingress is killed; its readers resume on another',
  run: (stage) =>
    withFleet({ models: { m03: `healthy:tokens=${tokens},pace=${paceMs}` } }, (fleet) => {
      const [dying, other] = fleet.ingresses;
      if (!dying || !other) throw new Error('no ingress');
      return resume(fleet, dying, other, stage);
    }),
};

async function resume(
  fleet: Fleet,
  dying: RoleProcess,
  other: RoleProcess,
  stage: Stage,
): Promise<Outcome> {
  const marker = markerOf('M03');
  const text = expectedText({ tokens });
  const startedAt = exactTime();
  // Half of them are native readers of a job, half plain readers whose requests are kept.
  const open = await Promise.all(
    Array.from({ length: readers }, (_, i) =>
      startReader({
        kind: i % 2 === 0 ? 'job' : 'plain',
        alias: 'm03',
        marker: `${marker}-${i}.`,
        text,
        urls: (attempt) => (attempt === 0 ? dying.url : other.url),
        stage,
      }),
    ),
  );
  await Promise.all(open.map((reader) => reader.count(midway)));
  const incidentAt = exactTime();
  await dying.stop('SIGKILL');
  const told = await Promise.all(open.map(({ told: one }) => one));
  const again = told.filter(({ resumed }) => resumed > 0).length;
  const attempts = attemptsOf(fleet, marker);
  const complaints = [
    ...(again < readers ? [`only ${again} of ${readers} had to resume`] : []),
    ...(attempts.primary > readers ? [`${attempts.primary} upstream calls for ${readers}`] : []),
  ];
  return {
    ...worst(told, complaints),
    attempts,
    totalMs: exactTime() - startedAt,
    longestGapMs: Math.max(...told.map(({ longestGapMs }) => longestGapMs)),
    figures: { resumed: again, killedAfterMs: Math.round(incidentAt - startedAt) },
  };
}
