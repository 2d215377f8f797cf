/** Runs a bounded number of tasks at a time; the others wait, first come, first served. */
export type Limiter = {
  /** Starts at once if fewer than the maximum run. Rejects if the task does. */
  run<T>(work: () => Promise<T>): Promise<T>;
  readonly running: number;
  readonly waiting: number;
};

export function createLimiter(max: number): Limiter {
  /** The tasks that wait, oldest first; calling one starts it. */
  const queue = new Set<() => void>();
  let running = 0;

  function next(): void {
    const [first] = queue;
    if (!first) running -= 1;
    else {
      // `running` is unchanged: the slot goes to the next waiting task, and no later task can take it.
      queue.delete(first);
      first();
    }
  }

  return {
    async run(work) {
      if (running < max) running += 1;
      else await new Promise<void>((resolve) => queue.add(resolve));
      try {
        return await work();
      } finally {
        next();
      }
    },
    get running() {
      return running;
    },
    get waiting() {
      return queue.size;
    },
  };
}
