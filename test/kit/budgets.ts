import { createRedisBudgets } from '@millrace/shared/store/budgets/redis-budgets';
import { keyspace } from '@millrace/shared/store/keys';
import type { Fleet } from './fleet.ts';
import { getLedger } from './ledger.ts';

export type BudgetUse = {
  per: 'day' | 'month';
  unit: 'USD' | 'tokens';
  limit: number;
  spent: number;
  reserved: number;
  unpriced_requests?: number;
  renews_at: string;
  confirmed_at: string | null;
};

/** What was used of each amount of a key's budget, as operators see it. */
export const budgetOf = async (fleet: Fleet, id: string): Promise<BudgetUse[]> =>
  (await getLedger<{ budget_use: BudgetUse[] }>(fleet, `keys/${id}`)).budget_use;

/** The ids of the requests that the ledger does not have. */
export async function reservationsOf(fleet: Fleet, id: string): Promise<string[]> {
  const budgets = createRedisBudgets({ redis: fleet.redis.connect(), keys: keyspace() });
  return (await budgets.reservations(id)).reservations.map(({ id: request }) => request);
}
