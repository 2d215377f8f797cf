import type { Budgets } from '@millrace/shared/store/budgets/port';
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

/** One connection for each fleet, as tests ask often. */
const stores = new WeakMap<Fleet, Budgets>();

function storeOf(fleet: Fleet): Budgets {
  let store = stores.get(fleet);
  if (!store) {
    store = createRedisBudgets({ redis: fleet.redis.connect(), keys: keyspace() });
    stores.set(fleet, store);
  }
  return store;
}

/** The ids of the requests that the ledger does not have. */
export async function reservationsOf(fleet: Fleet, id: string): Promise<string[]> {
  const { reservations } = await storeOf(fleet).reservations(id);
  return reservations.map(({ id: request }) => request);
}
