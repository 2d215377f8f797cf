/** Work of which only so much is under way at a time; what is more waits in line. */
export type Turns = {
  /** Starts at once where there is room. Rejects as the work does. */
  take<T>(work: () => Promise<T>): Promise<T>;
  readonly underWay: number;
  readonly waiting: number;
};

export function createTurns(max: number): Turns {
  /** Those who wait, oldest first: each is called when its turn has come. */
  const line = new Set<() => void>();
  let underWay = 0;

  function next(): void {
    const [first] = line;
    if (!first) underWay -= 1;
    else {
      // Its place is handed on, so that nobody gets in between.
      line.delete(first);
      first();
    }
  }

  return {
    async take(work) {
      if (underWay < max) underWay += 1;
      else await new Promise<void>((resolve) => line.add(resolve));
      try {
        return await work();
      } finally {
        next();
      }
    },
    get underWay() {
      return underWay;
    },
    get waiting() {
      return line.size;
    },
  };
}
