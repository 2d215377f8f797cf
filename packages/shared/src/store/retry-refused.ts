import { passesByItself } from './redis-failure.ts';

export type RetryRefusedOptions = {
  /** How long it is tried, in milliseconds. */
  withinMs: number;
  /** Ends the trying between two attempts. */
  signal?: AbortSignal;
};

export type Retried<T> = { kind: 'done'; value: T } | { kind: 'refused'; error: unknown };

/** Milliseconds before Redis is asked again. */
const againMs = 50;

/**
 * Does something that is safe to do twice, again and again while Redis refuses it for reasons that pass
 * by themselves. `refused`: it did so to the end. Any other error is thrown as it comes.
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
