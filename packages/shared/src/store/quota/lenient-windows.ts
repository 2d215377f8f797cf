import type { Taken, Windows } from './port.ts';

export type LenientWindowsOptions = {
  /** The windows that all processes share. */
  shared: Windows;
  /** Whether the connection to their store is up. */
  isReady(): boolean;
  /** Milliseconds to wait for an answer of the store: 250 unless stated. */
  patienceMs?: number;
  onError(error: unknown): void;
};

/** An answer takes a millisecond; a store that hangs must not hold up a failover. */
const defaultPatienceMs = 250;

/**
 * Shared windows that grant without a charge while their store does not answer. No new request can be queued then, since
 * the queue is in the same store: what is granted is bounded by the runs under way, which may fail over meanwhile.
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
        // If this process was late, the answer is here already, and is read before an immediate runs.
        timer = setTimeout(() => setImmediate(resolve, granted), patienceMs);
      });
      // A charge that arrives later stays: the use that it counts is real.
      const asked = shared.take(key, charges).catch((error: unknown) => {
        onError(error);
        return granted;
      });
      return Promise.race([asked, late]).finally(() => clearTimeout(timer));
    },
    correct: (key, corrections) => shared.correct(key, corrections),
  };
}

/** No slot of a window: nothing is given back to it. */
const unknownSlot = -1;
