import { passesByItself } from './redis-failure.ts';

export type RetryRefusedOptions = {
  /** How long it retries, in milliseconds. */
  withinMs: number;
  /** Ends the retries between two attempts. */
  signal?: AbortSignal;
};

export type Retried<T> = { kind: 'done'; value: T } | { kind: 'refused'; error: unknown };

/** Milliseconds between two attempts. */
const againMs = 50;

/**
 * Repeats idempotent work while Redis refuses it temporarily. `refused`: until the time was over. Any other
 * error is thrown unchanged.
 */
export async function retryRefused<T>(
  work: () => Promise<T>,
  { withinMs, signal }: RetryRefusedOptions,
): Promise<Retried<T>> {
  const until = performance.now() + withinMs;
  for (;;) {
    try {
      return { kind: 'done', value: await work() };
    } catch (error) {
      if (!passesByItself(error)) throw error;
      const isOver = signal?.aborted || performance.now() + againMs > until;
      if (isOver) return { kind: 'refused', error };
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }
}
