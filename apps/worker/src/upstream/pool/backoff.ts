/** Milliseconds before the first repetition, and at most. */
const firstMs = 250;
const longestMs = 30_000;

/**
 * Milliseconds until a lost warm connection is replaced, after `losses` consecutive ones that never served:
 * at once, then longer each time, with jitter, so that a provider that closes every connection is not
 * flooded. `random`: 0 to 1.
 */
export function warmDelayMs(losses: number, random: number): number {
  if (losses === 0) return 0;
  return Math.min(longestMs, firstMs * 2 ** (losses - 1)) * (0.5 + random / 2);
}

/**
 * Milliseconds after which the loss of a connection that never served is not a failure: its age ended it, not
 * a provider that rejects connections.
 */
export const longStandingMs = longestMs;
