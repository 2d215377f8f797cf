export type WaitSituation = {
  isAborted: boolean;
  isPastDeadline: boolean;
  /** Milliseconds that it may still wait. */
  leftMs: number;
  /** It counts as waiting already. */
  isParked: boolean;
  /** A reader has a part of its answer. */
  urgent: boolean;
  /** It has asked no target yet: another worker has as much of it. */
  isFresh: boolean;
  /** No client waits for it on a connection. */
  isDetached: boolean;
  /** As many requests of its model wait as may. */
  isModelFull: boolean;
  /** As many requests wait in this worker as may. */
  isFull: boolean;
};

/**
 * Whether a request may wait for a target, and otherwise how its wait ends. `unavailable`: it fails, or goes back to the
 * queue if `goesBack` and only capacity is missing.
 */
export type WaitVerdict =
  | { kind: 'wait' }
  | { kind: 'aborted' }
  | { kind: 'too_late' }
  | { kind: 'not_yet' }
  | { kind: 'unavailable'; goesBack: boolean };

export function waitVerdict(situation: WaitSituation): WaitVerdict {
  const { isAborted, isPastDeadline, leftMs, isParked, urgent, isFresh, isDetached } = situation;
  if (isAborted) return { kind: 'aborted' };
  if (isPastDeadline) return { kind: 'too_late' };
  if (leftMs <= 0) return { kind: 'unavailable', goesBack: isDetached };
  const isNew = !urgent && !isParked;
  if (isNew && isFresh && situation.isModelFull) return { kind: 'not_yet' };
  if (isNew && situation.isFull) return { kind: 'unavailable', goesBack: isFresh || isDetached };
  return { kind: 'wait' };
}
