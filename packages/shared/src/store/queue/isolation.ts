import { suspectMs } from '../../domain/poison.ts';

/**
 * Admits one suspect at a time: a worker begins jobs that may have killed a worker one by one, so that the next
 * death shows which of them it was.
 */
export type Isolation = {
  /** Whether a suspect runs here that has delivered nothing yet. */
  readonly isTaken: boolean;
  /**
   * Admits a suspect. Returns the function that ends its isolation; call it once something of it was
   * delivered. Idempotent.
   */
  take(): () => void;
  close(): void;
};

/** `onFree`: the next suspect may come; at the latest after `suspectMs`. */
export function createIsolation({ onFree }: { onFree(): void }): Isolation {
  let release: (() => void) | undefined;
  return {
    get isTaken() {
      return release !== undefined;
    },
    take() {
      const free = () => {
        clearTimeout(timer);
        if (release !== free) return;
        release = undefined;
        onFree();
      };
      const timer = setTimeout(free, suspectMs);
      timer.unref();
      release = free;
      return free;
    },
    close: () => release?.(),
  };
}
