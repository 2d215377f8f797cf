import type { LoadCaseName, Options } from '../options.ts';
import type { Arrival } from '../load/spec.ts';
import { type Answer, PACE_MS, TOKENS } from '../systems/system.ts';

/** One load that every system is put under, in turn, once a round. */
export interface Point {
  case: LoadCaseName;
  /** Unique within a run, e.g. `load c=64`. */
  label: string;
  /** Requests at a time, or streams. */
  size: number;
  answer: Answer;
  arrival: Arrival;
  /** Right before each measurement, not counted: connections, caches, the JIT. */
  warmup: Arrival;
  /** Above this gap between two tokens is a stall; 0: gaps say nothing here. */
  stallMs: number;
}

/** Before the first round, each system alone, so that round 1 does not pay for the JIT. */
export const FIRST_WARMUP: Arrival = {
  kind: 'closed',
  concurrency: 64,
  maxRequests: 20_000,
  maxMs: 1_500,
};

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
  return points;
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
    arrival: { kind: 'ramp', streams: count, rampMs: 1_000 },
    warmup: { kind: 'closed', concurrency: 64, maxRequests: 500, maxMs: 300 },
    stallMs: 10 * PACE_MS,
  };
}
