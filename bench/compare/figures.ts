import { median } from '../load/samples.ts';
import { COSTS, type Measurement, seconds } from './costs.ts';
import type { SystemName } from '../systems/system.ts';

/** One figure over all rounds. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** Milliseconds, unless the name says otherwise. */
export interface Figures {
  rounds: number;
  requestsPerSecond: Spread;
  /** Requests a second sent at a fixed rate; NaN if the rate was not fixed. */
  offered: Spread;
  firstToken: Record<Percentile, Spread>;
  /** Through the system minus direct, percentile by percentile, in the same round. */
  added: Record<Percentile, Spread>;
  total: Record<Percentile, Spread>;
  gap: Record<Percentile, Spread>;
  /** CPU microseconds per request and per token (chunk), summed over the system's processes. */
  cpuPerRequest: Spread;
  cpuPerChunk: Spread;
  /** HTTP chunks with tokens, and entries added to Redis streams (NaN without a Redis). */
  piecesPerRequest: Spread;
  xaddsPerRequest: Spread;
  /** The same CPU by role, medians, in seconds of CPU per second. */
  busy: Record<string, number>;
  generatorBusy: number;
  upstreamBusy: number;
  othersBusy: number;
  /** Sums over all rounds. */
  requests: number;
  errors: number;
  framesLost: number;
  stalls: number;
  faults: string[];
}

type Percentile = 'p50' | 'p95' | 'p99';
const PERCENTILES: readonly Percentile[] = ['p50', 'p95', 'p99'];

/** The figures of one system at one point; undefined if it was not measured. */
export function figuresOf(
  all: readonly Measurement[],
  point: string,
  system: SystemName,
): Figures | undefined {
  const mine = all.filter((one) => one.point === point && one.system === system);
  if (mine.length === 0) return undefined;
  const over = (value: (one: Measurement) => number): Spread => spreadOf(mine.map(value));
  const middle = (value: (one: Measurement) => number): number => over(value).median;
  const sum = (value: (one: Measurement) => number): number =>
    mine.reduce((total, one) => total + value(one), 0);
  const percentiles = (value: (one: Measurement, p: Percentile) => number) =>
    Object.fromEntries(PERCENTILES.map((p) => [p, over((one) => value(one, p))])) as Record<
      Percentile,
      Spread
    >;
  const direct = new Map(
    all
      .filter((one) => one.point === point && one.system === 'direct')
      .map((one) => [one.round, one]),
  );
  const roles = [...new Set(mine.flatMap(({ cpu }) => Object.keys(cpu.system)))].sort();
  return {
    rounds: mine.length,
    requestsPerSecond: over(COSTS.requestsPerSecond),
    offered: over((one) => one.offered ?? Number.NaN),
    firstToken: percentiles((one, p) => one.result.firstToken[p]),
    added: percentiles(
      (one, p) =>
        one.result.firstToken[p] - (direct.get(one.round)?.result.firstToken[p] ?? Number.NaN),
    ),
    total: percentiles((one, p) => one.result.total[p]),
    gap: percentiles((one, p) => one.result.gaps[p]),
    cpuPerRequest: over(COSTS.cpuPerRequest),
    cpuPerChunk: over(COSTS.cpuPerChunk),
    piecesPerRequest: over((one) => one.result.pieces / one.result.requests),
    xaddsPerRequest: over((one) => (one.xadds ?? Number.NaN) / one.result.requests),
    busy: Object.fromEntries(
      roles.map((role) => [role, middle((one) => (one.cpu.system[role] ?? 0) / seconds(one))]),
    ),
    generatorBusy: middle((one) => one.cpu.generator / seconds(one)),
    upstreamBusy: middle((one) => one.cpu.upstream / seconds(one)),
    othersBusy: middle((one) => one.cpu.others / seconds(one)),
    requests: sum(({ result }) => result.requests),
    errors: sum(({ result }) => result.errors),
    framesLost: sum(({ result }) => result.framesLost),
    stalls: sum(({ result }) => result.stalls),
    faults: [...new Set(mine.flatMap(({ result }) => result.faults))].slice(0, 3),
  };
}

/**
 * The ratio of two systems' figures, round by round, so that the state of the machine affects both. Undefined
 * if they share no round.
 */
export function ratioOf(
  all: readonly Measurement[],
  point: string,
  [system, other]: readonly [SystemName, SystemName],
  figure: keyof typeof COSTS,
): Spread | undefined {
  const at = (name: SystemName): Measurement[] =>
    all.filter((one) => one.point === point && one.system === name);
  const ratios = at(system).flatMap((one) => {
    const beside = at(other).find(({ round }) => round === one.round);
    return beside ? [COSTS[figure](one) / COSTS[figure](beside)] : [];
  });
  return ratios.length > 0 ? spreadOf(ratios) : undefined;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}
