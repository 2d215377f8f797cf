import { percentile } from '../load/samples.ts';

type Level = 'p95' | 'p99' | 'max';

/** The figures of every stream; milliseconds. Limits are the project's goals. */
export const FIGURES = {
  cutPrefillAsked: { text: 'cut, prefill: backup asked', limits: { p99: 10 } },
  cutPrefillNext: { text: 'cut, prefill: next chunk', limits: { p99: 100 } },
  cutAnchorAsked: { text: 'cut, anchor: backup asked', limits: { p99: 10 } },
  cutAnchorNext: { text: 'cut, anchor: next chunk', limits: { p99: 100 } },
  killedAsked: { text: 'worker killed: backup asked', limits: { max: 100 } },
  killedNext: { text: 'worker killed: next chunk', limits: { p95: 100, max: 250 } },
  hungAsked: { text: 'worker hung: backup asked', limits: {} },
  hungNext: { text: 'worker hung: next chunk', limits: { max: 3_000 } },
} as const satisfies Record<string, { text: string; limits: Partial<Record<Level, number>> }>;

export type FigureName = keyof typeof FIGURES;
export const FIGURE_NAMES = Object.keys(FIGURES) as FigureName[];

/** The outcome of some streams in one round. */
export interface Outcome {
  /** One value for each stream; milliseconds. */
  values: Partial<Record<FigureName, number[]>>;
  streams: number;
  /** Why an answer was incomplete or wrong, or why there were too many calls; one line for each stream. */
  wrong: string[];
}

/** CPU of all cores, 0 to 1. If other processes were busy, they affect the figures. */
export interface Cpu {
  ours: number;
  others: number;
}

export interface Round extends Outcome {
  round: number;
  cpu: { cut: Cpu; workers: Cpu };
}

export interface Quantiles {
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

export function merged(outcomes: readonly Outcome[]): Outcome {
  const values = FIGURE_NAMES.map((name) => [name, valuesOf(outcomes, name)] as const);
  return {
    values: Object.fromEntries(values.filter(([, list]) => list.length > 0)),
    streams: outcomes.reduce((sum, { streams }) => sum + streams, 0),
    wrong: outcomes.flatMap(({ wrong }) => wrong),
  };
}

export const valuesOf = (outcomes: readonly Outcome[], name: FigureName): number[] =>
  outcomes.flatMap(({ values }) => values[name] ?? []);

/** NaN if nothing was measured, so that it never looks like a good figure. */
export function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const [p50 = NaN, p95 = NaN, p99 = NaN, max = NaN] = [50, 95, 99, 100].map((p) =>
    percentile(sorted, p),
  );
  return { p50, p95, p99, max };
}

export interface Verdict {
  text: string;
  verdict: 'met' | 'missed' | 'not measured';
  evidence: string;
}

/** A goal is met if it is met in every round, so the worst round decides. */
export function failoverGoals(rounds: readonly Round[]): Verdict[] {
  const goals = FIGURE_NAMES.flatMap((name) => {
    const { text, limits } = FIGURES[name];
    const each = rounds.map((round) => quantilesOf(valuesOf([round], name)));
    const isMeasured = valuesOf(rounds, name).length > 0;
    return Object.entries(limits).map(([level, limit]): Verdict => {
      const goal = { text: `${text} ${level} <= ${limit} ms` };
      if (!isMeasured) return { ...goal, verdict: 'not measured', evidence: '' };
      const worst = Math.max(...each.map((quantiles) => quantiles[level as Level]));
      const verdict = worst <= limit ? 'met' : 'missed';
      return { ...goal, verdict, evidence: `${worst.toFixed(1)} ms in the worst round` };
    });
  });
  const { streams, wrong } = merged(rounds);
  const all: Verdict = {
    text: 'every answer whole, nothing lost, nothing twice',
    verdict: wrong.length === 0 ? 'met' : 'missed',
    evidence: `${streams - wrong.length} of ${streams}`,
  };
  return [...goals, all];
}
