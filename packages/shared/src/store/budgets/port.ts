import type { BudgetLimit, BudgetUnit, BudgetUse, Periods } from '../../domain/budget.ts';

/**
 * What API keys have used of their budgets. For each key there are the reservations of requests that the ledger has not
 * stored yet, and per period the amount spent, which is always written as a whole, as SQL has it. So nothing is added up
 * twice, and nothing that is lost here stays lost.
 *
 * Guarantees:
 * - a request is reserved if no limit is used up, in one step with that decision; a repeated call reserves once;
 * - the sums of reservations are always those of the reservations that are there, but for the bound below;
 * - of two readings of the ledger at the same time, the one that is written first stays;
 * - counters of a key without requests expire after `idleMs`.
 */
export type Budgets = {
  /** Reserves the amounts of a request, unless a limit is used up. */
  reserve(
    keyId: string,
    reservation: Reservation,
    limits: readonly BudgetLimit[],
  ): Promise<Reserved>;
  /** The request was not created. Idempotent. */
  release(keyId: string, id: string): Promise<void>;
  /** Called before the ledger is read for `settle`. */
  beginSettling(keyId: string): Promise<Reading>;
  /**
   * Writes what the ledger says, and removes the reservations of requests that it has, in one step. False, and nothing of both,
   * if another reading of the ledger was written since this one began.
   */
  settle(keyId: string, settlement: Settlement): Promise<boolean>;
  /** All reservations of a key, and the store's time. */
  reservations(keyId: string): Promise<Reservations>;
  /** For each of the keys, in their order, what was used of its limits. */
  read(keyIds: readonly string[]): Promise<BudgetState[]>;
};

/** `cost`: billionths of a USD; 0 for a request of unknown price. */
export type Reservation = { readonly id: string; readonly periods: Periods } & Amounts;

/** Whole numbers. */
export type Amounts = { readonly cost: number; readonly tokens: number };

export type Reserved = {
  /** `used_up`: at least one of the limits is; `unconfirmed`: the ledger has been away for too long. */
  readonly kind: 'reserved' | 'used_up' | 'unconfirmed';
  /** The use of each limit, in the order of the limits, before the request. */
  readonly use: readonly BudgetUse[];
};

/** One reading of what the ledger has of a key. */
export type Reading = {
  /** No two readings have the same. */
  readonly version: string;
  /** The version of the reading that was written last when this one began; empty: none was. */
  readonly before: string;
};

export type Settlement = Reading & {
  /** All periods that count now: the others are forgotten. */
  readonly spent: readonly Spent[];
  /** Requests whose reservations end. */
  readonly ended: readonly string[];
};

/** What the ledger has of a key in one period. `unpriced`: requests of unknown price. */
export type Spent = { readonly period: string; readonly unpriced: number } & Amounts;

export type Reservations = {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** `isShared`: of several requests, beyond `maxReservations`; its id is no request's. `at`: of the newest of them. */
  readonly reservations: readonly {
    readonly id: string;
    readonly at: number;
    readonly isShared: boolean;
  }[];
};

export type BudgetState = {
  /** When the ledger last confirmed the amounts, in milliseconds since the epoch; undefined: it never did. */
  readonly confirmedAt: number | undefined;
  useOf(unit: BudgetUnit, period: string): BudgetUse;
  /** Requests of unknown price in a period. */
  unpriced(period: string): number;
};

/**
 * Most reservations of a key. While the ledger is away they are not removed; further requests of a day then share one
 * reservation, which counts, and which the control plane ends as a whole.
 */
export const maxReservations = 100_000;

/**
 * Milliseconds without a confirmation of the ledger after which `budgets.onLedgerDown: closed` refuses requests. The control
 * plane confirms the counters of each key every ten seconds.
 */
export const unconfirmedMs = 60_000;

/** Milliseconds: longer than a month. */
export const idleMs = 35 * 24 * 3_600_000;
