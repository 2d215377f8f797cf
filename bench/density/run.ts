import { drive } from '../compare/measure.ts';
import { cpuBetween, readCpu, totalOf } from '../../test/kit/proc.ts';
import { type Rig, startRig } from '../rig.ts';
import type { SystemName } from '../systems/system.ts';

/** The result of a number of concurrent paced streams. */
export interface Step {
  streams: number;
  gapP50: number;
  gapP99: number;
  framesLost: number;
  errors: number;
  /** Cores in use: by all processes of the system, by the generator and by the upstream. */
  cores: number;
  generatorCores: number;
  upstreamCores: number;
}

export interface DensityResult {
  system: SystemName;
  /** In the order they were tried. */
  steps: Step[];
}

export const LIMIT_MS = 100;

const FIRST = 100;
const GROWTH = 1.5;
/** Above this, the generator's own process would be the limit. */
const MOST = 4_000;
/** After the first failure: halvings of the interval between the best and it. */
const HALVINGS = 2;

/** The better attempt for each number of streams, fewest first. */
export function bestSteps(steps: readonly Step[]): Step[] {
  const sorted = [...steps].sort((a, b) => a.streams - b.streams || a.gapP99 - b.gapP99);
  return sorted.filter(({ streams }, i) => streams !== sorted[i - 1]?.streams);
}

export const isGood = ({ gapP99, errors, framesLost }: Step): boolean =>
  gapP99 < LIMIT_MS && errors === 0 && framesLost === 0;

/** Each system alone on the machine, once whatever `--rounds` says. */
export async function runDensity(
  { systems, quick }: { systems: SystemName[]; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<DensityResult[]> {
  const results: DensityResult[] = [];
  for (const name of systems.filter((one) => one !== 'nginx')) {
    const rig = await startRig([name], signal, { manyStreams: true });
    try {
      const steps: Step[] = [];
      await searchBorder(quick ? FIRST : MOST, async (streams) => {
        onProgress(`density: ${name}, ${streams} streams`);
        const step = await measure(rig, streams, signal);
        steps.push(step);
        return isGood(step);
      });
      results.push({ system: name, steps });
    } finally {
      await rig.stop();
    }
  }
  return results;
}

/**
 * Tries more streams each time until two attempts fail (a single one may be the machine's fault), then
 * searches between the best and those, to a quarter of the interval.
 */
export async function searchBorder(
  most: number,
  attempt: (streams: number) => Promise<boolean>,
): Promise<void> {
  let good = 0;
  let bad = FIRST;
  while (bad <= most && ((await attempt(bad)) || (await attempt(bad)))) {
    good = bad;
    bad = Math.round(bad * GROWTH);
  }
  if (good === 0 || bad > most) return;
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = Math.round((good + bad) / 2);
    if (await attempt(middle)) good = middle;
    else bad = middle;
  }
}

async function measure(rig: Rig, streams: number, signal: AbortSignal): Promise<Step> {
  const system = rig.systems[0]!;
  const warmup = { kind: 'closed', concurrency: 64, maxRequests: 500, maxMs: 300 } as const;
  await drive(rig, system, { answer: 'burst', arrival: warmup }, signal);
  const pids = [system.pid, rig.generator.pid, rig.upstream.pid];
  const before = await Promise.all(pids.map(readCpu));
  const arrival = { kind: 'ramp', streams, rampMs: 1_000 } as const;
  const load = { answer: 'middling', arrival, stallMs: LIMIT_MS } as const;
  const { gaps, framesLost, errors, elapsedMs } = await drive(rig, system, load, signal);
  const after = await Promise.all(pids.map(readCpu));
  const [cores = 0, generatorCores = 0, upstreamCores = 0] = after.map(
    (reading, i) => (totalOf(cpuBetween(before[i] ?? {}, reading)) * 1_000) / elapsedMs,
  );
  return {
    streams,
    gapP50: gaps.p50,
    gapP99: gaps.p99,
    framesLost,
    errors,
    cores,
    generatorCores,
    upstreamCores,
  };
}
