import type { Target } from '@millrace/shared/domain/request';

/** What selection asks of those who know how targets fare; no question changes anything. */
export type TargetView = {
  /** Requests under way there, of the whole fleet: one's own exactly, those of others a moment old. */
  inFlight(target: Target): number;
  /** Milliseconds to the first token lately; undefined when nobody knows. */
  firstTokenMs(target: Target): number | undefined;
};

export type Health = TargetView & {
  /**
   * `ask`: it is being tried out, and one request may go there now. While it is coming back, `yes` and
   * `no` are drawn by lot, so that a part of the requests goes there.
   */
  admit(target: Target): 'yes' | 'no' | 'ask';
  /** `recovering`: it is coming back, and lots are drawn. */
  stateOf(target: Target): string;
  /** After a `no`: when it is worth asking again, in milliseconds since the epoch; undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Some target may be asked again. */
  onAvailable(listener: () => void): void;
};

/** Whether a target may be asked now. `until`: milliseconds since the epoch. */
export type Check = { kind: 'yes' } | { kind: 'no'; until: number };

/** How it fell, for one request, while a target is coming back. */
export type Lot = 'won' | 'lost';
