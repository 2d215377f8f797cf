/** How many jobs a worker may hold, over all shards, and how many it holds or is fetching. */
export type ConcurrencyLimit = {
  /** One is free, and nobody waits for it. */
  readonly hasFree: boolean;
  /** How many are free, and waited for by nobody. */
  readonly available: number;
  /** For a job that came unasked: one more is taken, also where none is free. */
  acquireAnyway(): void;
  /** More are taken than there are. */
  readonly isExceeded: boolean;
  /** Those above the number are not taken away: none is free until they are given back. */
  set(count: number): void;
  /** Takes one, where one is free. */
  tryAcquire(): boolean;
  /** Takes more of them for one of the shards, and leaves to the others their share of what is free; how many. */
  acquireMore(most: number): number;
  /** Waits in line for one, behind those who came before: true with a place, false at the end. */
  acquire(): Promise<boolean>;
  release(): void;
  /** There are no more places, and nobody waits for one. */
  close(): void;
};

export function createConcurrencyLimit(count: number, shards = 1): ConcurrencyLimit {
  let limit = count;
  let inUse = 0;
  const waiters: ((has: boolean) => void)[] = [];

  function wakeWaiters(): void {
    while (inUse < limit && waiters.length > 0) {
      inUse += 1;
      waiters.shift()?.(true);
    }
  }

  return {
    get hasFree() {
      return inUse < limit;
    },
    get available() {
      return waiters.length > 0 ? 0 : Math.max(0, limit - inUse);
    },
    acquireAnyway() {
      inUse += 1;
    },
    get isExceeded() {
      return inUse > limit;
    },
    set(wanted) {
      limit = wanted;
      wakeWaiters();
    },
    tryAcquire() {
      if (inUse >= limit) return false;
      inUse += 1;
      return true;
    },
    acquireMore(most) {
      const share = Math.ceil((limit - inUse) / shards);
      const more = Math.max(0, Math.min(most, share));
      inUse += more;
      return more;
    },
    acquire() {
      return new Promise((resolve) => {
        waiters.push(resolve);
        wakeWaiters();
      });
    },
    release() {
      inUse -= 1;
      wakeWaiters();
    },
    close() {
      limit = 0;
      for (const resolve of waiters.splice(0)) resolve(false);
    },
  };
}
