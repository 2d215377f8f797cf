import { median } from './load/samples.ts';
import type { Measurement } from './measure.ts';
import { totalOf } from './proc.ts';
import type { SystemName } from './systems/system.ts';

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
  firstToken: Record<Percentile, Spread>;
  /** Through the system minus direct, percentile by percentile, in the same round. */
  added: Record<Percentile, Spread>;
  total: Record<Percentile, Spread>;
  gap: Record<Percentile, Spread>;
  /** CPU microseconds per request and per token (chunk), summed over the system's processes. */
  cpuPerRequest: Spread;
  cpuPerChunk: Spread;
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

/** The figures of one system at one point; undefined where it was not measured. */
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
  const seconds = ({ result }: Measurement): number => result.elapsedMs / 1_000;
  const micros = ({ cpu }: Measurement): number => totalOf(cpu.system) * 1e6;
  const direct = new Map(
    all
      .filter((one) => one.point === point && one.system === 'direct')
      .map((one) => [one.round, one]),
  );
  const roles = [...new Set(mine.flatMap(({ cpu }) => Object.keys(cpu.system)))].sort();
  return {
    rounds: mine.length,
    requestsPerSecond: over((one) => one.result.requests / seconds(one)),
    firstToken: percentiles((one, p) => one.result.firstToken[p]),
    added: percentiles(
      (one, p) =>
        one.result.firstToken[p] - (direct.get(one.round)?.result.firstToken[p] ?? Number.NaN),
    ),
    total: percentiles((one, p) => one.result.total[p]),
    gap: percentiles((one, p) => one.result.gaps[p]),
    cpuPerRequest: over((one) => micros(one) / one.result.requests),
    cpuPerChunk: over((one) => micros(one) / one.result.tokens),
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
    faults: mine.flatMap(({ result }) => result.faults).slice(0, 5),
  };
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}
