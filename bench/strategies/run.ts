import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { offer } from './load.ts';
import type { Load, Served } from './load.ts';
import { FIRST_TOKENS_MS, SLOTS, startStrategiesRig } from './rig.ts';

export interface StrategiesRound {
  /** Requests that each target answered. */
  latency: Record<keyof typeof FIRST_TOKENS_MS, number>;
  /** Times to first token. */
  leastLoaded: Summary;
  /** The same load, in the same order, with all slots behind one queue. */
  ideal: Summary;
}

/**
 * Half of the requests are short, because equal ones would run in step. They are long enough that the
 * machine's own load does not matter.
 */
const SERVICE_MS = [200, 600];
const MEAN_MS = 400;
/** Share of the capacity of the three equal targets. */
const UTILISATION = 0.7;
const EQUAL_RATE = (UTILISATION * 3 * SLOTS * 1_000) / MEAN_MS;
const LATENCY_RATE = 50;

/** Rejects if a request fails: nothing here should make one fail. */
export async function runStrategies(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<StrategiesRound[]> {
  const rig = await startStrategiesRig(signal);
  const load = (model: string, requests: number, seed: number): Promise<Served[]> => {
    const rate = model === 'latency' ? LATENCY_RATE : EQUAL_RATE;
    const one: Load = { url: rig.url, model, requests, rate, serviceMs: SERVICE_MS, seed };
    return offer(one, signal);
  };
  const [few, many] = quick ? [200, 400] : [500, 1_000];
  try {
    // A warm-up, not counted: for the JIT, and until `latency` has measured each of its targets.
    for (const model of ['latency', 'least-loaded', 'ideal']) await load(model, 100, 0);
    const done: StrategiesRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      onProgress(`strategies, round ${round} of ${rounds}: latency`);
      const latency = shares(await load('latency', few, round));
      onProgress(`strategies, round ${round} of ${rounds}: least-loaded`);
      const leastLoaded = firstTokens(await load('least-loaded', many, round));
      onProgress(`strategies, round ${round} of ${rounds}: one queue`);
      const ideal = firstTokens(await load('ideal', many, round));
      done.push({ latency, leastLoaded, ideal });
    }
    return done;
  } finally {
    await rig.stop();
  }
}

function shares(served: readonly Served[]): StrategiesRound['latency'] {
  const counts = { fast: 0, middle: 0, slow: 0 };
  for (const { by } of served) {
    if (by === 'fast' || by === 'middle' || by === 'slow') counts[by] += 1;
  }
  return counts;
}

function firstTokens(served: readonly Served[]): Summary {
  const samples = new Samples();
  for (const { firstTokenMs } of served) samples.add(firstTokenMs);
  return samples.summary();
}
