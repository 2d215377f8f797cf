import type { Taken, Windows } from './port.ts';

export type LenientWindowsOptions = {
  /** The windows that all processes share. */
  shared: Windows;
  /** Whether the connection to their store is up. */
  isReady(): boolean;
  /** Milliseconds to wait for a reply of the store; default 250. */
  patienceMs?: number;
  onError(error: unknown): void;
};

/** A reply takes a millisecond; a blocked store must not hold up a failover. */
const defaultPatienceMs = 250;

/**
 * Shared windows that grant without a charge while their store does not answer. No new request can be queued
 * then, because the queue is in the same store, so the grants are bounded by the runs under way.
 */
export function lenientWindows(options: LenientWindowsOptions): Windows {
  const { shared, isReady, patienceMs = defaultPatienceMs, onError } = options;
  return {
    async take(key, charges) {
      const unused = charges.map(() => 0);
      const granted: Taken = { kind: 'yes', slot: unknownSlot, used: unused, resetMs: unused };
      if (!isReady()) return granted;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<Taken>((resolve) => {
        // If this process was blocked, the reply is here already, and is read before an immediate runs.
        timer = setTimeout(() => setImmediate(resolve, granted), patienceMs);
      });
      // A charge that Redis makes later stays, because it counts a real use.
      const asked = shared.take(key, charges).catch((error: unknown) => {
        onError(error);
        return granted;
      });
      return Promise.race([asked, late]).finally(() => clearTimeout(timer));
    },
    correct: (key, corrections) => shared.correct(key, corrections),
  };
}

/** Not a slot of a window: nothing can be given back to it. */
const unknownSlot = -1;
