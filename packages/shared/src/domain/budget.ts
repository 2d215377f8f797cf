/*
 * Budgets of API keys, by days and months of UTC. Money is in billionths of a USD, as in the ledger, so that sums are exact.
 * A request belongs to the day and the month in which it was created, also if it ends later.
 */

/** What a key may use, as in the config: money in USD. At least one of the four amounts is there. */
export type Budget = {
  readonly day?: number | undefined;
  readonly month?: number | undefined;
  readonly tokensPerDay?: number | undefined;
  readonly tokensPerMonth?: number | undefined;
  readonly currency: 'USD';
};

export type BudgetUnit = 'usd' | 'tokens';

/** A day (`2026-11-30`) and its month (`2026-11`). */
export type Periods = { readonly day: string; readonly month: string };

/** One amount of a budget in the period of one time. */
export type BudgetLimit = {
  readonly unit: BudgetUnit;
  readonly span: 'day' | 'month';
  readonly period: string;
  /** Billionths of a USD, or tokens. */
  readonly limit: number;
  /** The beginning of the next period, in milliseconds since the epoch. */
  readonly renewsAt: number;
};

/** What was used of a limit: by requests that the ledger has, and by an estimate of the others. */
export type BudgetUse = { readonly spent: number; readonly reserved: number };

export const nanosPerUsd = 1e9;

export const nanosOf = (usd: number): number => Math.round(usd * nanosPerUsd);

/** `at`: milliseconds since the epoch. */
export function periodsOf(at: number): Periods {
  const day = new Date(at).toISOString().slice(0, 10);
  return { day, month: monthOf(day) };
}

export const monthOf = (day: string): string => day.slice(0, 7);

/** The amounts of a budget at a time (milliseconds since the epoch), days before months. */
export function limitsAt(budget: Budget, at: number): BudgetLimit[] {
  const { day, month, tokensPerDay, tokensPerMonth } = budget;
  const periods = periodsOf(at);
  const date = new Date(at);
  const [year, monthIndex] = [date.getUTCFullYear(), date.getUTCMonth()];
  const renewal = {
    day: Date.UTC(year, monthIndex, date.getUTCDate() + 1),
    month: Date.UTC(year, monthIndex + 1),
  };
  const all = [
    ['usd', 'day', day === undefined ? undefined : nanosOf(day)],
    ['tokens', 'day', tokensPerDay],
    ['usd', 'month', month === undefined ? undefined : nanosOf(month)],
    ['tokens', 'month', tokensPerMonth],
  ] as const;
  return all.flatMap(([unit, span, limit]) =>
    limit === undefined
      ? []
      : [{ unit, span, period: periods[span], limit, renewsAt: renewal[span] }],
  );
}

export const hasMoney = ({ day, month }: Budget): boolean =>
  day !== undefined || month !== undefined;
