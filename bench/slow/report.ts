import type { Goal } from '../goal.ts';
import { median } from '../load/samples.ts';
import { number, type Part, table } from '../table.ts';
import type { SlowResult } from './run.ts';

export const SLOW_HEADING =
  'slow: readers that stop in the middle of large streams, beside others that go on. In both cases the\n' +
  'large streams are running, and with nobody to read them in the first one; medians of the rounds.';

type Kind = 'without' | 'with';
const LEVELS = ['p50', 'p95', 'p99', 'max'] as const;

export function slowReport(result: SlowResult): Part[] {
  const { rounds, memory, stopped, steady, resumedWhole, wrong } = result;
  const row = (kind: Kind): string[] => [
    `${kind} ${number(stopped)} stopped`,
    number(rounds.reduce((sum, round) => sum + round[kind].count, 0)),
    ...LEVELS.map((level) => number(median(rounds.map((round) => round[kind][level])), 1)),
    number(memory[kind] / 1024 / 1024, 1),
  ];
  return [
    table(
      [
        `${number(steady)} steady readers`,
        'gaps',
        ...LEVELS.map((level) => `${level} ms`),
        'ingress MB',
      ],
      [row('without'), row('with')],
    ),
    `went on later and got everything: ${resumedWhole} of ${stopped}; ingress then ${number(memory.resumed / 1024 / 1024, 1)} MB`,
    ...wrong,
  ];
}

export function goalsOfSlow({ rounds, stopped, resumedWhole }: SlowResult): Goal[] {
  const growth = median(rounds.map((round) => round.with.p99 / round.without.p99 - 1)) * 100;
  return [
    {
      text: 'slow: the p99 gap of the others grows by less than 10 %',
      verdict: growth < 10 ? 'met' : 'missed',
      evidence: `${number(growth, 1)} %`,
    },
    {
      text: 'slow: those that stopped go on without loss',
      verdict: resumedWhole === stopped ? 'met' : 'missed',
      evidence: `${resumedWhole} of ${stopped}`,
    },
  ];
}
