import { median } from '../load/samples.ts';
import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import type { CostOfModel } from './run.ts';

export const COST_HEADING =
  'cost: conversations of six questions with a growing prompt (3,500 to 6,500 tokens, of which 3,000 are the same for\n' +
  'all), two workers, three targets. USD per million tokens of input, cached input and output: dear 10, 1, 30;\n' +
  'middle 3, 0.3, 12; cheap 2, no cache, 8. Of their answers 2, 4 and 10 % fail or break off. The cost is what the\n' +
  'simulated providers billed, failed attempts included.';

const CHEAPEST = 'cheapest';
const DEAREST = 'failover, dearest first';

export function costReport(rounds: readonly (readonly CostOfModel[])[]): Part[] {
  const dearest = costPerThousand(rounds, DEAREST);
  const rows = (rounds[0] ?? []).map(({ model }) => {
    const each = of(rounds, model);
    const cost = costPerThousand(rounds, model);
    const share = (part: (one: CostOfModel) => number, whole: (one: CostOfModel) => number) =>
      percent(median(each.map((one) => part(one) / whole(one))));
    const callsOf = ({ calls }: CostOfModel) => calls.dear + calls.middle + calls.cheap;
    return [
      model,
      number(cost, 2),
      `${number(cost / dearest, 2)} x`,
      share(
        ({ failed }) => failed,
        ({ requests }) => requests,
      ),
      number(median(each.map(({ firstToken }) => firstToken.p50))),
      number(median(each.map(({ firstToken }) => firstToken.p95))),
      share(
        ({ cached }) => cached,
        ({ input }) => input,
      ),
      ...(['dear', 'middle', 'cheap'] as const).map((name) =>
        share(({ calls }) => calls[name], callsOf),
      ),
    ];
  });
  return [
    table(
      [
        'strategy',
        'USD per 1,000 requests',
        'of dearest first',
        'failed',
        'first token p50, ms',
        'p95',
        'input cached',
        'calls: dear',
        'middle',
        'cheap',
      ],
      rows,
    ),
  ];
}

/** The worst round decides. */
export function goalsOfCost(rounds: readonly (readonly CostOfModel[])[]): Goal[] {
  const others = (round: readonly CostOfModel[]) =>
    Math.min(...round.filter(({ model }) => model !== CHEAPEST).map(({ cost }) => cost));
  const costOf = (round: readonly CostOfModel[]) =>
    round.find(({ model }) => model === CHEAPEST)?.cost ?? Number.NaN;
  const ratio = Math.max(...rounds.map((round) => costOf(round) / others(round)));
  const failed = Math.max(...of(rounds, CHEAPEST).map(({ failed }) => failed));
  return [
    {
      text: 'cheapest: costs no more than any other strategy',
      verdict: ratio <= 1 ? 'met' : 'missed',
      evidence: `${number(ratio, 2)} x the cheapest of the others`,
    },
    {
      text: 'cheapest: no request fails',
      verdict: failed === 0 ? 'met' : 'missed',
      evidence: String(failed),
    },
  ];
}

const of = (rounds: readonly (readonly CostOfModel[])[], model: string): CostOfModel[] =>
  rounds.flatMap((round) => round.filter((one) => one.model === model));

const costPerThousand = (rounds: readonly (readonly CostOfModel[])[], model: string): number =>
  median(of(rounds, model).map(({ cost, requests }) => (1_000 * cost) / requests));

const percent = (share: number): string => `${number(share * 100, 1)} %`;
