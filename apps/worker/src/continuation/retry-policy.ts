import type { Fault, FaultRow } from '@millrace/shared/domain/fault';

/** The longest `Retry-After`, in milliseconds, for which a run waits; for a longer one it asks another target. */
export const longestRetryAfterMs = 3000;
/** Milliseconds of the first pause, doubling with every further one. */
const firstPauseMs = 400;
const longestPauseMs = 4000;

/**
 * Milliseconds to wait before the same target is asked again; undefined when it should not be.
 * `failures`: how often it has failed in this way by now, from 1. `random`: between 0 and 1.
 */
export function retryDelay(
  fault: Pick<Fault, 'retryAfterMs'>,
  row: FaultRow,
  failures: number,
  random: number,
): number | undefined {
  if (row.again === 0 || failures > row.again) return undefined;
  // Full jitter: callers that failed together do not retry together.
  const ceiling = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
  const pauseMs = row.pause ? Math.round(ceiling * random) : 0;
  if (fault.retryAfterMs === undefined) return pauseMs;
  if (fault.retryAfterMs > longestRetryAfterMs) return undefined;
  // Up to 10 % later than the provider asked, never earlier. A provider that says "at once" does not know of
  // the other callers, so the jittered pause applies.
  return Math.max(pauseMs, Math.round(fault.retryAfterMs * (1 + 0.1 * random)));
}
