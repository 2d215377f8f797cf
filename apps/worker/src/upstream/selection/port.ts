import type { Target } from '@millrace/shared/domain/request';

/** A target, with its share of the requests. */
export type Choice = Target & { weight: number };

/** What selection reads of the health of targets; no call changes anything. */
export type TargetView = {
  /**
   * Requests in flight at the target, of the whole fleet: this worker's exactly, those of others slightly
   * delayed.
   */
  inFlight(target: Target): number;
  /** Recent average of milliseconds to the first token; undefined if unknown. */
  firstTokenMs(target: Target): number | undefined;
};

export type Health = TargetView & {
  /**
   * `ask`: one request may be sent as a probe. While the target recovers, `yes` and `no` are drawn at random,
   * so that it gets a share of the requests.
   */
  admit(target: Target): 'yes' | 'no' | 'ask';
  /** An operator has taken the target out of service. */
  isHeld(target: Target): boolean;
  /** `recovering`: the target gets a share of the requests, by sampling. */
  stateOf(target: Target): string;
  /** Success rate of its last calls, 0 to 1, in any state. */
  successRate(target: Target): number;
  /** After a `no`: when to ask again, in milliseconds since the epoch; undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Calls `listener` when a target may be asked again. */
  onAvailable(listener: () => void): void;
};

/**
 * Whether a target may be asked now. `until`: milliseconds since the epoch. `limited`: it is healthy but at
 * its limit; `broken`: it is unknown when it will be healthy again.
 */
export type Check = { kind: 'yes' } | { kind: 'no'; until: number; why: 'broken' | 'limited' };

/** The same for a model: `limited` if at least one target is only at its limit. */
export type Availability = 'open' | 'limited' | 'broken';

/**
 * How many requests may wait here for capacity while the others stay in the queue. Requests with a partly
 * delivered answer do not count.
 */
export type WaitLimits = {
  /** A request begins to wait. */
  waitStarted(model: string): void;
  /** A request has stopped waiting. `since`: when it began; milliseconds since the epoch. */
  waitEnded(model: string, since: number, how: 'through' | 'gave_up' | 'gone'): void;
  /** The limit of waiting requests is reached: a request that has asked no target goes back to the queue. */
  isFull(model: string): boolean;
  /** The model's requests lack only capacity. */
  isLimited(model: string): boolean;
  /** A request that could have waited goes back to the queue: for a short time no jobs of the model are taken. */
  coolDown(model: string): void;
};

/** The sample drawn for a request while a target recovers. */
export type RampSample = 'admitted' | 'deferred';
