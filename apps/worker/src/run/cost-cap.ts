import { estimateRequest } from '@millrace/shared/cost/estimate';
import { inUsd } from '@millrace/shared/cost/usd';
import type { Prices } from '@millrace/shared/cost/prices';
import { tokenCounts } from '@millrace/shared/cost/usage';
import type { Fault } from '@millrace/shared/domain/fault';
import type { LedgerAttempt } from '@millrace/shared/domain/ledger';
import type { Target } from '@millrace/shared/domain/request';
import type { History } from '../continuation/history.ts';

/*
 * The cap on the cost of one request (`x-millrace-max-cost`). Its ingress has refused it if the bound of every target is above
 * the cap; a worker asks only targets whose bound is within it, by the prices of its own config.
 */

export type CostCapOptions = {
  /** In billionths of a USD. */
  maxCost: number;
  /** The request, as its client sent it. */
  body: string;
  prices: Prices;
  now(): number;
};

type Spent = Pick<History, 'furthest' | 'ledger'>;

export type CostCap = {
  /**
   * The targets that may be asked. Until a part of the answer was delivered, the earlier attempts count, and those under way
   * with their bounds; from then on they do not, so that an answer which has begun reaches its end, also if it is begun
   * again.
   */
  within<T extends Target>(targets: readonly T[], history: Spent): T[];
  /** The fault of a request that may ask no target. */
  fault(history: Spent): Fault;
};

export function createCostCap({ maxCost, body, prices, now }: CostCapOptions): CostCap {
  const { bound: tokens } = estimateRequest(body);
  const bound = (target: Target): number => prices(target, tokens, now()) ?? Infinity;
  const costOf = ({ started, ended }: LedgerAttempt): number =>
    (ended && prices(started, tokenCounts(ended.usage), started.at)) ?? bound(started);
  const spentIn = ({ ledger }: Spent): number =>
    ledger.reduce((sum, attempt) => sum + costOf(attempt), 0);
  return {
    within(targets, history) {
      const left = history.furthest === 0 ? maxCost - spentIn(history) : maxCost;
      return targets.filter((target) => bound(target) <= left);
    },
    fault(history) {
      const spent = spentIn(history);
      const before =
        spent > 0 && Number.isFinite(spent)
          ? `, after attempts of up to $${inUsd(spent)} that brought no answer`
          : '';
      return {
        code: 'max_cost_exceeded',
        message: `No target may be asked within the cap of $${inUsd(maxCost)}${before}.`,
      };
    },
  };
}
