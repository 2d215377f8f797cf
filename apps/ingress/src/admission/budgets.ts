import { limitsAt, periodsOf } from '@millrace/shared/domain/budget';
import type { Budget } from '@millrace/shared/domain/budget';
import type { Budgets, Reservation } from '@millrace/shared/store/budgets/port';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { within } from '../store-timeout.ts';
import { judgeBudget } from './budget-verdict.ts';
import type { ExpectUse, Expected } from './expected-use.ts';

/** Requests of keys with a budget: each reserves what it may use, until the ledger has it. */
export type BudgetGate = {
  /** Undefined: reserved. Rejects with `StoreSilent` if Redis does not answer. */
  reserve(
    keyId: string,
    budget: Budget,
    request: { id: string } & Expected,
  ): Promise<Refused | undefined>;
  /** The request was refused elsewhere, or not created. */
  release(keyId: string, id: string): void;
};

export type BudgetGateOptions = {
  budgets: Pick<Budgets, 'reserve' | 'release'>;
  expectUse: ExpectUse;
  /** Resolves when the connection to Redis is up. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
  now?(): number;
};

/** Seconds. The control plane confirms the counters every few seconds while it runs. */
const retryUnconfirmedSeconds = 10;

export function createBudgetGate(options: BudgetGateOptions): BudgetGate {
  const { budgets, expectUse, whenReady, onError, now = Date.now } = options;

  const release = (keyId: string, id: string): void => {
    budgets.release(keyId, id).catch(onError);
  };

  /** A reservation that Redis makes after the client got its error is given back. */
  async function ask(keyId: string, reservation: Reservation, limits: ReturnType<typeof limitsAt>) {
    await within(whenReady());
    let isLate = false;
    const asked = budgets.reserve(keyId, reservation, limits);
    asked
      .then(({ kind }) =>
        isLate && kind === 'reserved' ? release(keyId, reservation.id) : undefined,
      )
      .catch((error: unknown) => (isLate ? onError(error) : undefined));
    try {
      return await within(asked);
    } catch (error) {
      isLate = true;
      throw error;
    }
  }

  return {
    async reserve(keyId, budget, request) {
      const { id, createdAt } = request;
      const limits = limitsAt(budget, createdAt);
      const amounts = await expectUse(request, budget);
      const { kind, use } = await ask(
        keyId,
        { id, periods: periodsOf(createdAt), ...amounts },
        limits,
      );
      if (kind === 'reserved') return undefined;
      const verdict = judgeBudget(keyId, limits, use, now());
      if (!verdict) {
        return refuse('budget_unconfirmed', { keyId, retryAfter: retryUnconfirmedSeconds });
      }
      const { message, retryAfterSeconds } = verdict;
      const code = verdict.kind === 'used_up' ? 'insufficient_quota' : 'budget_reserved';
      return refuse(code, { message, retryAfter: retryAfterSeconds, countAs: 'budget' });
    },
    release,
  };
}
