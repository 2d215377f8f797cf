import { median } from '../load/samples.ts';
import { atMost } from '../goal.ts';
import type { Goal } from '../goal.ts';
import { number, table } from '../table.ts';
import type { Part } from '../table.ts';
import { PAIRS } from './run.ts';
import type { Format, Pair, PairCosts } from './run.ts';

export const FORMATS_HEADING =
  'formats: CPU for each chunk of 60 streams of 200 chunks, 50 a second, by the formats of client and provider; medians of the rounds.\n' +
  '`x own`: against a provider of the client’s own format, `x chat`: against chat completions over chat completions.';

/** Microseconds of ingress and worker. */
const totalOf = ({ ingress, worker }: PairCosts): number => ingress + worker;

const costOf = (
  rounds: readonly PairCosts[][],
  { client, provider }: Pair,
  pick: (one: PairCosts) => number,
): number =>
  median(
    rounds.map((round) => {
      const found = round.find((one) => one.client === client && one.provider === provider);
      return found ? pick(found) : Number.NaN;
    }),
  );

/** Ratios within a round, because rounds differ. */
const ratioOf = (rounds: readonly PairCosts[][], pair: Pair, base: Format): number =>
  median(
    rounds.map((round) => {
      const cost = costOf([round], pair, totalOf);
      return cost / costOf([round], { client: base, provider: base }, totalOf);
    }),
  );

export function formatsReport(rounds: readonly PairCosts[][]): Part[] {
  const rows = PAIRS.map((pair) => [
    `${pair.client} over ${pair.provider}`,
    ...(['ingress', 'worker', 'redis'] as const).map((role) =>
      number(
        costOf(rounds, pair, (one) => one[role]),
        1,
      ),
    ),
    number(costOf(rounds, pair, totalOf), 1),
    number(ratioOf(rounds, pair, pair.client), 2),
    number(ratioOf(rounds, pair, 'chat'), 2),
  ]);
  return [
    table(
      ['client over provider', 'ingress us', 'worker us', 'redis us', 'both us', 'x own', 'x chat'],
      rows,
    ),
  ];
}

/** Redis is left out: it has the same work for all of them. */
export function goalsOfFormats(rounds: readonly PairCosts[][]): Goal[] {
  const translated = PAIRS.filter(({ client, provider }) => client !== provider);
  const worst = Math.max(...translated.map((pair) => ratioOf(rounds, pair, pair.client)));
  return [
    atMost(
      'translation: at most 1.2 x the CPU of the client’s own format, in the worst pair',
      worst,
      1.2,
      'x',
    ),
  ];
}
