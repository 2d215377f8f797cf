import { number, type Part, table } from '../table.ts';
import { failoverGoals, FIGURE_NAMES, FIGURES, quantilesOf, valuesOf } from './figures.ts';
import type { Cpu, Round, Verdict } from './figures.ts';
import type { FailoverResult } from './run.ts';
import { soakGoals } from './soak.ts';

const BOUNDS_MS = [2, 5, 10, 20, 50, 100, 250, 1_000, 3_000];
const LEVELS = ['p50', 'p95', 'p99', 'max'] as const;
const FAULTS_SHOWN = 5;

/** The report of the rounds. */
export function failoverReport({ rounds, soak }: FailoverResult): Part[] {
  const measured = FIGURE_NAMES.map((name) => ({
    title: FIGURES[name].text,
    values: valuesOf(rounds, name),
    each: rounds.map((round) => quantilesOf(valuesOf([round], name))),
  })).filter(({ values }) => values.length > 0);
  const figures = measured.map(({ title, values, each }) => [
    title,
    number(values.length),
    ...LEVELS.map((level) => {
      const worst = Math.max(...each.map((one) => one[level]));
      const all = number(quantilesOf(values)[level], 1);
      return rounds.length === 1 ? all : `${all} (${number(worst, 1)})`;
    }),
  ]);
  const buckets = measured.map(({ title, values }) => [title, ...bucketsOf(values).map(countCell)]);
  const faults = [...rounds.flatMap(({ wrong }) => wrong), ...(soak?.wrong ?? [])];
  return [
    table(['failover, ms', 'streams', ...LEVELS], figures),
    table(['histogram, ms', ...BOUNDS_MS.map((bound) => `<= ${number(bound)}`), 'more'], buckets),
    `CPU of all cores by round: ${cpuLine(rounds, 'cut')}; ${cpuLine(rounds, 'workers')}`,
    ...faults.slice(0, FAULTS_SHOWN),
  ];
}

export const FAILOVER_HEADING =
  'failover: from the incident, over all rounds (in the worst round). `next chunk` is the next text\n' +
  "at the reader, less the backup's own time from the request to its first new token.";

export const goalsOfFailover = ({
  rounds,
  soak,
}: Pick<FailoverResult, 'rounds' | 'soak'>): Verdict[] => [
  ...failoverGoals(rounds),
  ...soakGoals(soak),
];

/** How many values there are up to each bound, and beyond the last one. */
export function bucketsOf(values: readonly number[]): number[] {
  const counts = Array.from({ length: BOUNDS_MS.length + 1 }, () => 0);
  for (const value of values) {
    const at = BOUNDS_MS.findIndex((bound) => value <= bound);
    const bucket = at < 0 ? BOUNDS_MS.length : at;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  return counts;
}

function cpuLine(rounds: readonly Round[], part: keyof Round['cpu']): string {
  const of = (who: keyof Cpu): string => rounds.map(({ cpu }) => percent(cpu[part][who])).join(' ');
  return `${part} ${of('ours')}, other programs ${of('others')}`;
}

const percent = (share: number): string => `${number(share * 100)}%`;

const countCell = (count: number): string => (count === 0 ? '·' : number(count));
