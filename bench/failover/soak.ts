import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Stage } from '../../crashtest/case.ts';
import { gather } from '../../crashtest/crowd.ts';
import { counters } from '../../test/kit/takeover.ts';
import { spawnScript } from '../../test/kit/child.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Fleet } from '../../test/kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Verdict } from './figures.ts';
import { busyShare, readTicks } from './busy.ts';

/* All processes are slow and none dies: counts those that are declared dead by mistake. */

export interface Soak {
  minutes: number;
  streams: number;
  wrong: string[];
  /** CPU use of the whole machine, 0 to 1. */
  busy: number;
  deaths: number;
  takeovers: number;
  falseAlarms: number;
}

const LANES = 40;
const TOKENS = 150;
const text = expectedText({ tokens: TOKENS });
const style = `tokens=${TOKENS},pace=40`;
const models = {
  soak: {
    targets: [
      { provider: 'primary', model: `healthy:${style}` },
      { provider: 'backup', model: `prefill:${style}`, prefill: true },
    ],
  },
};

const HARDSHIP = new URL('hardship.ts', import.meta.url).href;
const BURNER = fileURLToPath(new URL('burner.ts', import.meta.url));

/** Runs streams for `minutes`, through processes that block now and then on a busy machine. */
export async function soak(minutes: number, stage: Stage): Promise<Soak> {
  const fleet = await startStumbling();
  const burners = Array.from({ length: availableParallelism() }, () => spawnScript(BURNER));
  try {
    const until = performance.now() + minutes * 60_000;
    const ticks = readTicks();
    const wrong: string[] = [];
    let streams = 0;
    const lane = async (_: unknown, number: number): Promise<void> => {
      for (let turn = 0; performance.now() < until; turn++) {
        stage.signal.throwIfAborted();
        const marker = `soak-${number}-${turn}`;
        const crowd = { alias: 'soak', count: 1, marker, text };
        const [told] = await gather(ingressOf(fleet, number), crowd, stage).ended;
        streams += 1;
        if (told?.verdict !== 'pass') wrong.push(`${marker}: ${told?.reason}`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const busy = busyShare(ticks, readTicks());
    return { minutes, streams, wrong, busy, ...(await countedBy(fleet)) };
  } finally {
    await Promise.all([...burners.map((burner) => burner.stop()), fleet.close()]);
  }
}

const ingressOf = ({ ingresses }: Fleet, number: number) => {
  const at = number % ingresses.length;
  return ingresses.slice(at, at + 1);
};

/** The workers, whose heartbeats are watched, and the ingresses, which watch them. */
async function startStumbling(): Promise<Fleet> {
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = `${before ?? ''} --import=${HARDSHIP}`.trim();
  try {
    return await startFleet({ workers: 2, ingresses: 2, models });
  } finally {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
  }
}

async function countedBy({ ingresses }: Fleet) {
  const each = await Promise.all(ingresses.map(({ url }) => counters(url)));
  const sum = (value: (one: (typeof each)[number]) => number): number =>
    each.reduce((total, one) => total + value(one), 0);
  return {
    deaths: sum(({ deaths }) => deaths.gone + deaths.hung),
    takeovers: sum(({ takeovers }) => takeovers),
    falseAlarms: sum(({ falseAlarms }) => falseAlarms),
  };
}

export function soakGoals(result: Soak | undefined): Verdict[] {
  const text = 'no false takeover on a busy machine (--soak)';
  if (!result) return [{ text, verdict: 'not measured', evidence: '' }];
  const { minutes, streams, wrong, busy, deaths, takeovers, falseAlarms } = result;
  const isMet = wrong.length + deaths + takeovers + falseAlarms === 0;
  const evidence =
    `${minutes} min, CPU ${(busy * 100).toFixed(0)}%, ${streams} streams (${wrong.length} wrong): ` +
    `${deaths} taken for dead, ${takeovers} takeovers, ${falseAlarms} false alarms`;
  return [{ text, verdict: isMet ? 'met' : 'missed', evidence }];
}
