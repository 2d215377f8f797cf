/** How many jobs a worker may hold, over all shards, and how many it holds or is fetching. */
export type ConcurrencyLimit = {
  /** Whether a slot is free. */
  readonly hasFree: boolean;
  /** Free slots for which no caller of `acquire` waits. */
  readonly available: number;
  /** Takes a slot even if none is free, for a dispatched job. */
  acquireAnyway(): void;
  /** Whether more slots are in use than the limit allows. */
  readonly isExceeded: boolean;
  /** Changes the limit. Slots in use above it stay in use; none is free until enough are released. */
  set(count: number): void;
  /** Takes a slot if one is free. */
  tryAcquire(): boolean;
  /** Takes more slots for one shard, and leaves the other shards their share of the free ones. Returns how many it took. */
  acquireMore(most: number): number;
  /** Waits for a slot, in the order of the calls. False after `close`. */
  acquire(): Promise<boolean>;
  release(): void;
  /** Sets the limit to 0 and ends every wait. */
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
