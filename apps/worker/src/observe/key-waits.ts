/*
 * How long requests waited in the queue by API key, and how evenly the keys were served. Labels are bounded: the first
 * keys that a worker sees have series of their own, for its life, and all others share one.
 */

/** Keys with series of their own. */
export const maxNamedKeys = 50;
/** The label of all other keys. */
export const otherKeys = 'other';

/** The window of the fairness index, in slices that leave it one by one. */
const sliceMs = 10_000;
const slices = 6;
/** Milliseconds of mean wait in the window from which a key competes with others for the workers. */
const competesMs = 1000;
/** Keys of one slice; what further keys start is not compared. */
const maxComparedKeys = 1000;

export type Wait = {
  /** Its id; empty where no keys are configured. */
  key: string;
  weight: number;
  /** Milliseconds from its creation to its first run. */
  ms: number;
};

type Share = { started: number; waitedMs: number; weight: number };
type Slice = { number: number; shares: Map<string, Share> };

export type KeyWaits = {
  add(wait: Wait): void;
  /** Since the start, by label. */
  totals(): Iterable<readonly [label: string, total: { started: number; seconds: number }]>;
  /**
   * Jain's index over the last minute: from 1/n (one of n keys was served alone) to 1 (all were served alike, by their
   * weights). Only keys whose requests waited a second on average are compared, because the others had all that they
   * asked for; 1 if fewer than two did.
   */
  fairness(): number;
};

export function createKeyWaits(now: () => number = Date.now): KeyWaits {
  const totals = new Map<string, { started: number; seconds: number }>();
  let recent: Slice[] = [];

  function labelOf(key: string): string {
    return totals.has(key) || totals.size < maxNamedKeys ? key : otherKeys;
  }

  function currentSlice(): Slice {
    const number = Math.floor(now() / sliceMs);
    recent = recent.filter((one) => one.number <= number && number - one.number < slices);
    const newest = recent.at(-1);
    if (newest?.number === number) return newest;
    const slice: Slice = { number, shares: new Map() };
    recent.push(slice);
    return slice;
  }

  return {
    add({ key, weight, ms }) {
      const label = labelOf(key);
      const total = totals.get(label) ?? { started: 0, seconds: 0 };
      totals.set(label, total);
      total.started += 1;
      total.seconds += Math.max(0, ms) / 1000;
      const { shares } = currentSlice();
      const share = shares.get(key) ?? { started: 0, waitedMs: 0, weight };
      if (!shares.has(key) && shares.size >= maxComparedKeys) return;
      shares.set(key, share);
      share.started += 1;
      share.waitedMs += Math.max(0, ms);
      share.weight = weight;
    },
    totals: () => totals,
    fairness() {
      currentSlice();
      return jainIndex(sharesOf(recent));
    },
  };
}

/** What each competing key got, in jobs for each unit of its weight. */
function sharesOf(recent: readonly Slice[]): number[] {
  const sums = new Map<string, Share>();
  for (const { shares } of recent) {
    for (const [key, { started, waitedMs, weight }] of shares) {
      const sum = sums.get(key) ?? { started: 0, waitedMs: 0, weight };
      sums.set(key, {
        started: sum.started + started,
        waitedMs: sum.waitedMs + waitedMs,
        weight,
      });
    }
  }
  return [...sums.values()]
    .filter(({ started, waitedMs }) => waitedMs / started >= competesMs)
    .map(({ started, weight }) => started / weight);
}

/** (Σx)² / (n Σx²); 1 for fewer than two values. */
export function jainIndex(values: readonly number[]): number {
  if (values.length < 2) return 1;
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}
