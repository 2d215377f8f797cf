/** The wait between a death and the next start: 100 ms doubling to 5 s, and 100 ms again after 10 s alive. */
export const restartPolicy = { firstMs: 100, mostMs: 5000, steadyMs: 10_000 } as const;

/** A role that was killed this often before it ever served will not start at all. */
const mostStartAttempts = 5;

export type Death = {
  /** An exit code, or the signal that ended it. */
  readonly cause: number | NodeJS.Signals;
  readonly aliveMs: number;
  /** Whether it was ever ready, in this or an earlier life. */
  readonly hasServed: boolean;
  /** Deaths in a row before this one, each after less than `steadyMs`. */
  readonly deathsInARow: number;
};

export type Verdict =
  | { readonly kind: 'restart'; readonly afterMs: number; readonly deathsInARow: number }
  | { readonly kind: 'give up' };

/**
 * Decides what to do after an unexpected death. A process that exits by itself before it ever served has a
 * permanent reason (a port in use, an invalid config); one that was killed, or has served before, is started
 * again.
 */
export function judge({ cause, aliveMs, hasServed, deathsInARow }: Death): Verdict {
  const inARow = aliveMs >= restartPolicy.steadyMs ? 1 : deathsInARow + 1;
  const hopeless = typeof cause === 'number' || inARow >= mostStartAttempts;
  if (!hasServed && hopeless) return { kind: 'give up' };
  const afterMs = Math.min(restartPolicy.firstMs * 2 ** (inARow - 1), restartPolicy.mostMs);
  return { kind: 'restart', afterMs, deathsInARow: inARow };
}
