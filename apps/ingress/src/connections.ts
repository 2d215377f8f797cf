/** The answers that are under way on this ingress, so that a drain can wait for them and end the rest. */
export type Connections = {
  /**
   * `cut` ends the connection at once with a clear error. `onDrain` is for one that would stay
   * without a reason: it ends by itself as soon as nothing is under way on it.
   * `held`: bytes that wait to be sent on it.
   */
  add(cut: () => void, onDrain?: () => void, held?: () => number): { remove(): void };
  /** Tells every connection that none of them shall last longer than its answers. */
  drain(): void;
  /** Resolves when none is left, or false when the signal fired before. */
  settled(signal: AbortSignal): Promise<boolean>;
  cutAll(): void;
  readonly size: number;
  /** Bytes that wait to be sent on all of them. */
  heldBytes(): number;
};

type Open = { cut: () => void; onDrain: (() => void) | undefined; held: () => number };

const nothing = () => 0;

export function createConnections(onError: (error: unknown) => void): Connections {
  const open = new Set<Open>();
  let waiters: (() => void)[] = [];
  /** One that cannot be ended must not keep the others. */
  const attempt = (end: (() => void) | undefined) => {
    try {
      end?.();
    } catch (error) {
      onError(error);
    }
  };
  return {
    add(cut, onDrain, held = nothing) {
      const one = { cut, onDrain, held };
      open.add(one);
      return {
        remove() {
          open.delete(one);
          if (open.size > 0) return;
          for (const wake of waiters) wake();
          waiters = [];
        },
      };
    },
    async settled(signal) {
      if (open.size === 0) return true;
      if (signal.aborted) return false;
      return new Promise((resolve) => {
        waiters.push(() => resolve(true));
        signal.addEventListener('abort', () => resolve(false), { once: true });
      });
    },
    drain() {
      for (const one of open) attempt(one.onDrain);
    },
    cutAll() {
      for (const one of open) attempt(one.cut);
    },
    get size() {
      return open.size;
    },
    heldBytes() {
      let bytes = 0;
      for (const one of open) bytes += one.held();
      return bytes;
    },
  };
}
