import type { Target } from '@millrace/shared/domain/request';

/** What selection asks about the health of targets; no question changes anything. */
export type TargetView = {
  /** Requests under way there, of the whole fleet: one's own exactly, those of others a moment old. */
  inFlight(target: Target): number;
  /** Milliseconds to the first token lately; undefined if it is not known. */
  firstTokenMs(target: Target): number | undefined;
};

export type Health = TargetView & {
  /**
   * `ask`: one request may go there now, as a probe. While it recovers, `yes` and `no` are drawn at random, so that a
   * share of the requests goes there.
   */
  admit(target: Target): 'yes' | 'no' | 'ask';
  /** `recovering`: it takes a share of the requests, and samples are drawn. */
  stateOf(target: Target): string;
  /** Of its last calls, 0 to 1, whatever its state. */
  successRate(target: Target): number;
  /** After a `no`: when it is worth asking again, in milliseconds since the epoch; undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Some target may be asked again. */
  onAvailable(listener: () => void): void;
};

/**
 * Whether a target may be asked now. `until`: milliseconds since the epoch. `limited`: it is healthy, and at its limit
 * at the moment; `broken`: it is unknown when it will be healthy again.
 */
export type Check = { kind: 'yes' } | { kind: 'no'; until: number; why: 'broken' | 'limited' };

/** The same of a model: `limited` if a target of it is at its limit only. */
export type Availability = 'open' | 'limited' | 'broken';

/**
 * How many requests may wait here for capacity, while the others stay in the queue. Requests in mid-answer do not
 * count.
 */
export type WaitLimits = {
  /** One more request waits. */
  waitStarted(model: string): void;
  /** A request waits no more. `since`: when it began to; milliseconds since the epoch. */
  waitEnded(model: string, since: number, how: 'through' | 'gave_up' | 'gone'): void;
  /** As many wait as may: one that has asked no target goes back to the queue. */
  isFull(model: string): boolean;
  /** The model's requests lack only capacity. */
  isLimited(model: string): boolean;
  /** A request goes back to the queue that could have waited: none is taken again for a moment. */
  coolDown(model: string): void;
};

/** The sample that was drawn for one request while a target recovers. */
export type RampSample = 'admitted' | 'deferred';
