import { estimateTokens } from '../../domain/tokens.ts';

/**
 * Limits the use of a key within any stretch of time as long as the window, over all processes that share the store. A
 * key has one or more windows, each with a name (`requests`, `tokens`).
 */

export type Charge = {
  name: string;
  /** The most that all charges of the window may sum up to. */
  limit: number;
  /** A whole number. An amount above the limit counts as the limit: it fits when the window is empty. */
  amount: number;
};

export type Taken =
  | {
      kind: 'yes';
      /** The slot that was charged: a correction below zero has to name it. */
      slot: number;
      /** The use of each window now, in the order of the charges. */
      used: readonly number[];
      /** Milliseconds until each is empty again if no more use is charged. */
      resetMs: readonly number[];
    }
  | {
      kind: 'no';
      retryAfterMs: number;
      used: readonly number[];
      resetMs: readonly number[];
    };

/**
 * A further use (above zero), counted from now; or an amount (below zero) given back to the slot that was
 * charged.
 */
export type Correction = { name: string; amount: number; slot?: number | undefined };

export type Windows = {
  /** Makes every charge, or none if one of them does not fit. */
  take(key: string, charges: readonly Charge[]): Promise<Taken>;
  /** Counts use unconditionally. Use that has left its window is not given back. */
  correct(key: string, corrections: readonly Correction[]): Promise<void>;
};

/** Milliseconds: providers count by the minute. */
export const minuteMs = 60_000;

/** The limits per minute of a target or of a key, from the config. */
export type Rates = {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
};

/** The charges of one request for each limited rate. The estimate of its tokens comes from `body`. */
export function chargesOf({ requestsPerMinute, tokensPerMinute }: Rates, body: string): Charge[] {
  const charges: Charge[] = [];
  if (requestsPerMinute !== undefined) {
    charges.push({ name: 'requests', limit: requestsPerMinute, amount: 1 });
  }
  if (tokensPerMinute !== undefined) {
    charges.push({ name: 'tokens', limit: tokensPerMinute, amount: estimateTokens(body) });
  }
  return charges;
}

/** The name under which a key's use is counted: never that of a target, which has a `/`. */
export const keyAccount = (keyId: string): string => `key:${encodeURIComponent(keyId)}`;

/** The amount that counts: an amount above the limit counts as the limit. */
export const charged = ({ amount, limit }: Charge): number => Math.min(amount, limit);

/** The corrections that give a charge back to the slot that it was made in. */
export const refundOf = (charges: readonly Charge[], slot: number): Correction[] =>
  charges.map((one) => ({ name: one.name, amount: -charged(one), slot }));

/**
 * Limits how many holders a name has at the same time, over all processes. A lease ends by itself unless its process
 * renews it, so a process that dies frees its leases.
 */
export type Leases = {
  /** `held`: leases of all processes, this one included. */
  take(name: string, id: string, limit: number): Promise<{ kind: 'yes' | 'no'; held: number }>;
  /** Returns the ids that are no longer held: released by another process, or expired. */
  renew(name: string, ids: readonly string[]): Promise<string[]>;
  /** Idempotent; any process may call it. */
  release(name: string, id: string): Promise<void>;
};

/** Milliseconds after which a lease expires unless renewed: how long leases of a dead process are held. */
export const leaseMs = 10_000;
/** Milliseconds between two renewals: two may be lost. */
export const renewalMs = 3000;
