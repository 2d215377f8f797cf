/** Milliseconds before the first repetition, and at most. */
const firstMs = 250;
const longestMs = 30_000;

/**
 * Milliseconds until a lost warm connection is replaced, after so many in a row that never served:
 * at once, then longer each time, with jitter, so that a provider that hangs up on everybody is not
 * stormed. `random`: 0 to 1.
 */
export function warmDelayMs(losses: number, random: number): number {
  if (losses === 0) return 0;
  return Math.min(longestMs, firstMs * 2 ** (losses - 1)) * (0.5 + random / 2);
}

/** One that stood this long was no failure: it was lost to the years, not to a provider that hangs up. */
export const longStandingMs = longestMs;
