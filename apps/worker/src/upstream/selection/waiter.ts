import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';

export type WaitOutcome =
  /** These targets may be asked now, although they may still refuse. */
  | { kind: 'retry'; open: readonly Target[] }
  | { kind: 'aborted' }
  /** It should wait in the queue: only capacity is missing, and nothing is lost. */
  | { kind: 'not_yet' }
  /** Its waiting time is over, or too many requests wait. */
  | { kind: 'fault'; fault: Fault };

/** An acceptable target, and the time from which on this request may use it, in milliseconds since the epoch. */
export type Want = { target: Target; notBefore: number };

export type WaitRequest = {
  /** The acceptable targets, without those that are no longer useful. */
  wants: readonly Want[];
  /** A reader has a part of its answer: it goes first, and is not rejected because too many requests wait. */
  urgent?: boolean;
  /** It has asked no target yet, so another worker can serve it as well. */
  isFresh?: boolean;
  /** It is a job without a client connection: it goes back to the queue instead of failing for lack of capacity. */
  isDetached?: boolean;
  /** The `Retry-After` of its last refusal, if there was one. */
  retryAfterMs?: number | undefined;
  /** It has asked a target for a permit since it was woken. */
  hasAsked?: boolean;
};

/**
 * A request's position among those that wait for a target of its model. It keeps the position if it has to
 * wait again.
 */
export type TargetWaiter = {
  /** Whether earlier requests wait for this target and could go: this one must go after them. */
  isBehind(target: Target): boolean;
  /** Only one wait at a time. */
  wait(request: WaitRequest): Promise<WaitOutcome>;
  /** It got a permit; until this call a woken request counts as waiting. */
  admitted(): void;
  /** It has ended without a permit. Idempotent. */
  abandon(): void;
};

export type TargetWaiterOptions = {
  signal: AbortSignal;
  /** The most milliseconds that it may wait in total. */
  maxWaitMs: number;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
};
