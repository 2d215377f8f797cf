import { median } from '../load/samples.ts';
import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import type { StrategiesRound } from './run.ts';

export const STRATEGIES_HEADING =
  'strategies: two workers. `latency` has targets whose first token takes 50, 100 and 400 ms;\n' +
  '`least-loaded` three equal ones of eight requests at a time, at 0.7 of what they can do.\n' +
  '`one queue` is the ideal: the same load, with all 24 places behind a single queue.';

const KINDS = ['fast', 'middle', 'slow'] as const;
type Kind = (typeof KINDS)[number];

export function strategiesReport(rounds: readonly StrategiesRound[]): Part[] {
  const times = (name: string, kind: 'leastLoaded' | 'ideal'): string[] => [
    name,
    number(median(rounds.map((round) => round[kind].count))),
    ...(['p50', 'p95', 'p99', 'max'] as const).map((level) =>
      number(median(rounds.map((round) => round[kind][level])), 1),
    ),
  ];
  return [
    table(
      ['latency, share of the requests', ...KINDS],
      [['median', ...KINDS.map((kind) => percent(median(rounds.map((one) => share(one, kind)))))]],
    ),
    table(
      ['time to first token, ms', 'requests', 'p50', 'p95', 'p99', 'max'],
      [times('least-loaded', 'leastLoaded'), times('one queue', 'ideal')],
    ),
  ];
}

/** The worst round decides. */
export function goalsOfStrategies(rounds: readonly StrategiesRound[]): Goal[] {
  const least = (kind: Kind) => Math.min(...rounds.map((round) => share(round, kind)));
  const ratio = Math.max(...rounds.map((one) => one.leastLoaded.p99 / one.ideal.p99));
  const verdict = (isMet: boolean) => (isMet ? 'met' : 'missed');
  return [
    {
      text: 'latency: more than 80 % to the fastest',
      verdict: verdict(least('fast') > 0.8),
      evidence: percent(least('fast')),
    },
    {
      text: 'latency: some to each of the others',
      verdict: verdict(least('middle') > 0 && least('slow') > 0),
      evidence: `${percent(least('middle'))} and ${percent(least('slow'))}`,
    },
    {
      text: 'least-loaded: p99 to first token < 1.3 x one queue in front of all',
      verdict: verdict(ratio < 1.3),
      evidence: `${number(ratio, 2)} x`,
    },
  ];
}

function share({ latency }: StrategiesRound, kind: Kind): number {
  return latency[kind] / (latency.fast + latency.middle + latency.slow);
}

const percent = (value: number): string => `${number(value * 100, 1)} %`;
