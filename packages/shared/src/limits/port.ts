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
    }
  | { kind: 'no'; retryAfterMs: number; used: readonly number[] };

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
