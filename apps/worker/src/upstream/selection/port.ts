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
  /** Of its last calls, 0 to 1, whatever its state. */
  successRate(target: Target): number;
  /** After a `no`: when it is worth asking again, in milliseconds since the epoch; undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Some target may be asked again. */
  onAvailable(listener: () => void): void;
};

/**
 * Whether a target may be asked now. `until`: milliseconds since the epoch. `limited`: it is well, and has
 * no room at the moment; `broken`: nobody knows when it is well again.
 */
export type Check = { kind: 'yes' } | { kind: 'no'; until: number; why: 'broken' | 'limited' };

/** The same of a model: `limited` where one of its targets would do, had it room. */
export type Availability = 'open' | 'limited' | 'broken';

/**
 * Who says how many may wait here for room, while the others had better stay in the queue. Those in
 * mid-answer are none of its business.
 */
export type WaitLimits = {
  /** One more waits. */
  waitStarted(model: string): void;
  /** One waits no more. `satAt`: since when it did; milliseconds since the epoch. */
  waitEnded(model: string, satAt: number, how: 'through' | 'gave_up' | 'gone'): void;
  /** As many wait as may: one that has nothing to lose goes back to the queue. */
  isFull(model: string): boolean;
  /** All that those of this model lack is room. */
  isLimited(model: string): boolean;
  /** One goes back to the queue that could have waited: let a moment pass before one is taken again. */
  coolDown(model: string): void;
};

/** How it fell, for one request, while a target is coming back. */
export type RampSample = 'admitted' | 'deferred';
