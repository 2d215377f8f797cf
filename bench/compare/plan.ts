import type { LoadCaseName, Options } from '../options.ts';
import type { Arrival, Body } from '../load/spec.ts';
import { type Answer, FLOORS, PACE_MS, type SystemName, TOKENS } from '../systems/system.ts';

/** One load for every system, in turn, once a round. */
export interface Point {
  case: LoadCaseName;
  /** Unique within a run, e.g. `load c=64`. */
  label: string;
  /** Concurrent requests or streams. */
  size: number;
  answer: Answer;
  arrival: Arrival | Share;
  body?: Body;
  /** Systems that are skipped to save time. */
  skips?: readonly SystemName[];
  /** Load right before each measurement, not counted: for connections, caches, the JIT. */
  warmup: Arrival;
  /** A gap between two tokens above this is a stall; 0: gaps are not evaluated. */
  stallMs: number;
}

/** An open loop at a share of the rate that the same system reached at `CAPACITY` in the same round. */
export interface Share {
  kind: 'share';
  of: number;
  ms: number;
}

/** Before the first round, each system alone, so that round 1 does not pay for the JIT. */
export const FIRST_WARMUP: Arrival = {
  kind: 'closed',
  concurrency: 64,
  maxRequests: 20_000,
  maxMs: 1_500,
};

/** The point that the open loops are shares of. */
export const CAPACITY = 'capacity';
const SHARES = [0.2, 0.4, 0.6, 0.8];

const FRONTIER = [4, 8, 16, 32, 64, 128, 200];

export function planOf(options: Options): Point[] {
  const { cases, quick, full, frontier } = options;
  const points: Point[] = [];
  if (cases.includes('c1')) points.push(c1(quick ? 60 : 300));
  if (cases.includes('load')) {
    const sizes = frontier ? FRONTIER : [64, 200];
    points.push(...sizes.map((size) => load(size, quick ? 1_000 : frontier ? 2_000 : 3_000)));
  }
  if (cases.includes('streams')) {
    const counts = options.streams ?? (quick ? [100] : [150, 300, ...(full ? [1_000] : [])]);
    const lengths = options.chunks ?? (quick ? [TOKENS.paced] : [TOKENS.paced, TOKENS.long]);
    for (const length of lengths) points.push(...counts.map((count) => streams(count, length)));
  }
  if (cases.includes('ladder')) {
    const ms = quick ? 500 : 1_500;
    points.push({ ...load(64, ms), case: 'ladder', label: CAPACITY, skips: ['direct'] });
    points.push(...SHARES.map((share) => open(share, ms)));
  }
  if (cases.includes('agents')) points.push(agents(quick ? 1_000 : 4_000));
  return points;
}

function open(share: number, ms: number): Point {
  return {
    case: 'ladder',
    label: `open ${share * 100} %`,
    size: share,
    answer: 'burst',
    arrival: { kind: 'share', of: share, ms },
    skips: ['direct'],
    warmup: { kind: 'closed', concurrency: 64, maxRequests: 500, maxMs: 100 },
    stallMs: 0,
  };
}

function agents(maxMs: number): Point {
  const closed = { kind: 'closed', concurrency: 8, maxRequests: 1_000_000 } as const;
  return {
    case: 'agents',
    label: 'agents c=8',
    size: 8,
    answer: 'burst',
    body: 'agents',
    arrival: { ...closed, maxMs },
    warmup: { ...closed, maxMs: 300 },
    stallMs: 0,
  };
}

function c1(requests: number): Point {
  const one = { kind: 'closed', concurrency: 1 } as const;
  return {
    case: 'c1',
    label: 'c1',
    size: 1,
    answer: 'burst',
    arrival: { ...one, maxRequests: requests, maxMs: 15_000 },
    warmup: { ...one, maxRequests: 20, maxMs: 2_000 },
    stallMs: 0,
  };
}

function load(concurrency: number, maxMs: number): Point {
  const closed = { kind: 'closed', concurrency, maxRequests: 1_000_000 } as const;
  return {
    case: 'load',
    label: `load c=${concurrency}`,
    size: concurrency,
    answer: 'burst',
    arrival: { ...closed, maxMs },
    warmup: { ...closed, maxMs: 300 },
    stallMs: 0,
  };
}

function streams(count: number, length: number): Point {
  return {
    case: 'streams',
    label: `streams n=${count} x ${length}`,
    size: count,
    answer: length === TOKENS.long ? 'long' : 'paced',
    ...(length === TOKENS.long && { skips: FLOORS }),
    arrival: { kind: 'ramp', streams: count, rampMs: 1_000 },
    warmup: { kind: 'closed', concurrency: 64, maxRequests: 500, maxMs: 300 },
    stallMs: 10 * PACE_MS,
  };
}
