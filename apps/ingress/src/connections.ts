/** The answers that are under way on this ingress, so that a drain can wait for them and end the rest. */
export type Connections = {
  /** `cut` ends the connection at once with a clear error. */
  add(cut: () => void): { remove(): void };
  /** Resolves when none is left, or false when the signal fired before. */
  settled(signal: AbortSignal): Promise<boolean>;
  cutAll(): void;
  readonly size: number;
};

export function createConnections(): Connections {
  const open = new Set<{ cut: () => void }>();
  let waiters: (() => void)[] = [];
  return {
    add(cut) {
      const one = { cut };
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
    cutAll() {
      for (const one of open) one.cut();
    },
    get size() {
      return open.size;
    },
  };
}
