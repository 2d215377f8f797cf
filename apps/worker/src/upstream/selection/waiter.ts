import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';

export type WaitOutcome =
  /** These targets may be asked now; whether they still can when they are, only asking tells. */
  | { kind: 'retry'; open: readonly Target[] }
  | { kind: 'aborted' }
  /** It had better wait in the queue: only capacity is missing, and nothing is lost by it. */
  | { kind: 'not_yet' }
  /** Its time to wait is over, or too many wait already. */
  | { kind: 'fault'; fault: Fault };

/** A target that would do, and from when on for this request, in milliseconds since the epoch. */
export type Want = { target: Target; notBefore: number };

export type WaitRequest = {
  /** Any of them will do. Those that are of no use to it any more are left out. */
  wants: readonly Want[];
  /** A reader has a part of its answer: it goes first, and is not rejected because too many wait. */
  urgent?: boolean;
  /** It has asked no target yet: another worker has as much of it. */
  isFresh?: boolean;
  /** No client waits for it on a connection: it goes back to the queue rather than fail for want of capacity. */
  isDetached?: boolean;
  /** What the last refusal said to this request, where one did. */
  retryAfterMs?: number | undefined;
  /** Since it was woken it asked a target for a permit. */
  hasAsked?: boolean;
};

/** One request among those that wait for a target of its model. It keeps its position if it has to wait again. */
export type TargetWaiter = {
  /** Others that came before wait for this target, and could go: this one asks it only after them. */
  isBehind(target: Target): boolean;
  /** One wait at a time. */
  wait(request: WaitRequest): Promise<WaitOutcome>;
  /** It has got through: until then one that was woken counts as waiting. */
  admitted(): void;
  /** It is gone, if it has not got through. Idempotent. */
  abandon(): void;
};

export type TargetWaiterOptions = {
  signal: AbortSignal;
  /** Milliseconds that it may wait in all. */
  maxWaitMs: number;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
};
