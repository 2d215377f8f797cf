import { setTimeout as sleep } from 'node:timers/promises';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import type { ProcessCase, Stage, Verdict } from '../case.ts';
import { send } from '../../test/kit/exchange.ts';
import { worst } from '../crowd.ts';
import { mapValues, withFleet } from '../fleet.ts';
import type { Fleet } from '../fleet.ts';
import { attemptsOf, callsOf, completionsOf, question } from '../rig.ts';
import { markerOf } from '../scenario.ts';

/** Milliseconds for which an upstream call may continue after its reader left. */
const closedWithinMs = 100;
/** Milliseconds within which a fallback or a retry that starts nevertheless is detected. */
const settledMs = 1500;

type Departure = {
  primary: string;
  stream: boolean;
  /** Events before the reader leaves; without any, it leaves as soon as the provider was called. */
  events: number;
};

const departures: Readonly<Record<string, Departure>> = {
  'before-the-head': { primary: 'silent', stream: true, events: 0 },
  'before-the-first-token': { primary: 'healthy:first=20000,role=1', stream: true, events: 0 },
  'in-mid-answer': { primary: 'healthy:tokens=1000,pace=20', stream: true, events: 10 },
  'not-streamed': { primary: 'healthy:tokens=1000,pace=20', stream: false, events: 0 },
  'not-streamed-silent': { primary: 'silent', stream: false, events: 0 },
};

/** M10: the client leaves. That is no fault of the provider, and no other provider is called. */
export const clientLeaves: ProcessCase = {
  kind: 'process',
  id: 'M10',
  title: 'the client goes away: before, during, not streamed',
  run: (stage) =>
    withFleet({ models: mapValues(departures, modelOf) }, async (fleet) => {
      const marker = markerOf('M10');
      const startedAt = exactTime();
      const told = await Promise.all(
        Object.entries(departures).map(([alias, departure]) =>
          depart(fleet, alias, departure, `${marker}-${alias}.`, stage),
        ),
      );
      return {
        ...worst(told, []),
        attempts: attemptsOf(fleet, marker),
        totalMs: exactTime() - startedAt,
        longestGapMs: 0,
        figures: { closedMaxMs: Math.round(Math.max(...told.map(({ closedMs }) => closedMs))) },
      };
    }),
};

const modelOf = ({ primary }: Departure) => ({
  targets: [
    { provider: 'primary', model: primary },
    { provider: 'backup', model: 'healthy' },
  ],
});

async function depart(
  fleet: Fleet,
  alias: string,
  { stream, events }: Departure,
  marker: string,
  { patienceMs, signal }: Stage,
): Promise<{ verdict: Verdict; reason: string; closedMs: number }> {
  const body = question(alias, marker, { stream });
  const reader = send(completionsOf(fleet.url), { body, patienceMs, signal });
  const call = await fleet.primary.waitFor(({ rawBody }) => rawBody.includes(marker), { signal });
  await reader.count(events);
  const leftAt = reader.leave();
  const closed = await fleet.primary
    .waitFor(({ number, state }) => number === call.number && state !== 'open', { signal })
    .catch(() => undefined);
  const closedMs = (closed?.closedAt ?? Infinity) - leftAt;
  await sleep(settledMs, undefined, { signal });
  const wrong = [
    ...(closed?.state === 'aborted by client' ? [] : [`the call is ${closed?.state ?? 'open'}`]),
    ...(closedMs <= closedWithinMs ? [] : [`closed after ${Math.round(closedMs)} ms`]),
    ...(callsOf(fleet.primary, marker).length > 1 ? ['the primary was asked again'] : []),
    ...(callsOf(fleet.backup, marker).length > 0 ? ['a fallback started'] : []),
  ];
  return wrong.length === 0
    ? { verdict: 'pass', reason: '', closedMs }
    : { verdict: 'fail', reason: `${alias}: ${wrong.join('; ')}`, closedMs };
}
