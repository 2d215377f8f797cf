import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import { SERVICE_MS } from './run.ts';
import type { Burden, OverloadRound } from './run.ts';

export const OVERLOAD_HEADING =
  'overload: requests that come whatever is answered, one worker with 20 places, a bound of 1 s on the\n' +
  'expected wait; then a key that asks once a second beside one that has 1,000 waiting. Each round.';

export function overloadReport(rounds: readonly OverloadRound[]): Part[] {
  const burdens = rounds.flatMap(({ round, capacity, burdens: each }) =>
    each.map((one) => [
      `round ${round}, ${one.factor} x`,
      number(capacity),
      number(one.sent),
      number(one.goodput),
      number(one.refused),
      number(one.wrong),
      number(one.firstToken.p50),
      number(one.firstToken.p99),
      number(one.refusal.p50, 1),
      number(one.refusal.p99, 1),
    ]),
  );
  const keys = rounds.map(({ round, alone, flooded }) => [
    `round ${round}`,
    number(alone.p50, 1),
    number(flooded.p50, 1),
    number(flooded.p95, 1),
    number(flooded.p95 - alone.p50, 1),
  ]);
  const head = ['load', 'capacity/s', 'sent', 'goodput/s', 'refused', 'wrong'];
  const times = ['first token p50 ms', 'p99', 'refusal p50 ms', 'p99'];
  return [
    table([...head, ...times], burdens),
    table(['once a second', 'alone p50 ms', 'flooded p50', 'p95', 'added p95'], keys),
  ];
}

/** The worst round decides. */
export function goalsOfOverload(rounds: readonly OverloadRound[]): Goal[] {
  const burdens = rounds.flatMap(({ capacity, burdens: each }) =>
    each.map((one) => ({ ...one, share: one.goodput / capacity })),
  );
  const worst = (of: (one: Burden) => number): number => Math.max(...burdens.map(of));
  const share = Math.min(...burdens.map((one) => one.share));
  const first = worst(({ firstToken }) => firstToken.p99);
  const refusal = worst((one) => one.refusal.p99);
  const wrong = burdens.reduce((sum, one) => sum + one.wrong, 0);
  const added = Math.max(...rounds.map(({ alone, flooded }) => flooded.p95 - alone.p50));
  return [
    goal('goodput >= 90% of capacity', share >= 0.9, `${number(share * 100)}%`),
    goal('first token p99 <= 2 s', first <= 2_000, `${number(first)} ms`),
    goal('refusals p99 <= 50 ms', refusal <= 50, `${number(refusal, 1)} ms`),
    goal('each served whole or refused with a time', wrong === 0, `${number(wrong)} not`),
    goal(
      `beside a flood: added wait p95 <= 100 ms and one service time (${SERVICE_MS} ms)`,
      added <= 100 + SERVICE_MS,
      `${number(added, 1)} ms`,
    ),
  ];
}

const goal = (text: string, isMet: boolean, evidence: string): Goal => ({
  text,
  verdict: isMet ? 'met' : 'missed',
  evidence,
});
