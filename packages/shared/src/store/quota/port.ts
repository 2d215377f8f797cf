import { estimateTokens } from '../../domain/tokens.ts';

/**
 * What may be used of something within any stretch of time as long as the window, by everybody who
 * shares the store. A key has one or more windows, told apart by name (`requests`, `tokens`).
 */

export type Charge = {
  name: string;
  /** What all charges of the window may sum up to. */
  limit: number;
  /** A whole number. One above the limit counts as the limit: it goes when nothing else is there. */
  amount: number;
};

export type Taken =
  | {
      kind: 'yes';
      /** The slot that was charged: what is given back, is given back there. */
      slot: number;
      /** What is used of each window now, in the order of the charges. */
      used: readonly number[];
      /** Milliseconds until each is empty again, when nothing more comes. */
      resetMs: readonly number[];
    }
  | {
      kind: 'no';
      retryAfterMs: number;
      used: readonly number[];
      resetMs: readonly number[];
    };

/** A further use (above zero), counted from now; or what is given back to the slot it was taken from. */
export type Correction = { name: string; amount: number; slot?: number | undefined };

export type Windows = {
  /** Every charge, or, where one of them does not fit, none. */
  take(key: string, charges: readonly Charge[]): Promise<Taken>;
  /** Counts without asking: what was used was used. What has left its window is not given back. */
  correct(key: string, corrections: readonly Correction[]): Promise<void>;
};

/** Milliseconds: providers count by the minute. */
export const minuteMs = 60_000;

/** What the config allows per minute, of a target or of a key. */
export type Rates = {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
};

/** What one request takes of each rate that is limited. `body`: it says what the request may cost. */
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

/** What was really taken: one above the limit counts as the limit. */
export const charged = ({ amount, limit }: Charge): number => Math.min(amount, limit);

/**
 * How many hold something at the same time, over all processes. A lease that nobody renews ends by
 * itself, so that a process that dies gives back what it held.
 */
export type Leases = {
  /** `held`: by everybody, with this one. */
  take(name: string, id: string, limit: number): Promise<{ kind: 'yes' | 'no'; held: number }>;
  /** Returns those that were not held any more: given back by somebody, or over. */
  renew(name: string, ids: readonly string[]): Promise<string[]>;
  /** Idempotent, and anybody may. */
  release(name: string, id: string): Promise<void>;
};

/** Milliseconds that a lease lives without being renewed: how long a dead process' leases are held. */
export const leaseMs = 10_000;
/** Milliseconds between two renewals: two may be lost. */
export const renewalMs = 3000;
