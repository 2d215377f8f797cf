export type WaitSituation = {
  isAborted: boolean;
  isPastDeadline: boolean;
  /** Remaining milliseconds that the request may wait. */
  leftMs: number;
  /** It already counts as waiting. */
  isParked: boolean;
  /** A reader has a part of its answer. */
  urgent: boolean;
  /** It has asked no target yet, so another worker can serve it as well. */
  isFresh: boolean;
  /** It is a job without a client connection. */
  isDetached: boolean;
  /** The limit of waiting requests of its model is reached. */
  isModelFull: boolean;
  /** The limit of waiting requests of this worker is reached. */
  isFull: boolean;
};

/**
 * Whether a request may wait for a target, or how its wait ends. `unavailable`: it fails, or goes back to the
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
