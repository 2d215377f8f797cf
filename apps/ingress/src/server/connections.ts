/** The open connections and answers of this ingress, so that a drain can wait for them and end the rest. */
export type Connections = {
  /**
   * `cut` hands over the open requests of the connection, and ends it with a clear error or event; it takes
   * no longer than a drain waits. `onDrain` is for a connection that would stay open without a request: after
   * it the connection ends by itself once nothing is under way.
   * `held`: bytes that wait to be sent on it.
   */
  add(
    cut: () => void | Promise<void>,
    onDrain?: () => void,
    held?: () => number,
  ): { remove(): void };
  /**
   * Adds an answer, from the head of its request on. Answers are cut after all connections, because a stream
   * ends itself with a more exact error.
   */
  addAnswer(cut: () => void, onDrain: () => void): { remove(): void };
  /** Calls every `onDrain`: connections must not outlast their answers. */
  drain(): void;
  /** Resolves with true when none is left, or with false when the signal fires before. */
  settled(signal: AbortSignal): Promise<boolean>;
  /** Resolves when all of them have been cut. Never rejects. */
  cutAll(): Promise<void>;
  /** Connections, without the answers. */
  readonly size: number;
  /** Bytes that wait to be sent on all of them. */
  heldBytes(): number;
};

type Open = {
  cut: () => void | Promise<void>;
  onDrain: (() => void) | undefined;
  held: () => number;
};

const nothing = () => 0;

export function createConnections(onError: (error: unknown) => void): Connections {
  const open = new Set<Open>();
  const answers = new Set<Open>();
  let waiters: (() => void)[] = [];
  /** A failure to end one connection must not affect the others. */
  const tryToEnd = async (end: (() => void | Promise<void>) | undefined) => {
    try {
      await end?.();
    } catch (error) {
      onError(error);
    }
  };
  const isSettled = () => open.size === 0 && answers.size === 0;
  const addTo = (set: Set<Open>, one: Open) => {
    set.add(one);
    return {
      remove() {
        set.delete(one);
        if (!isSettled()) return;
        for (const wake of waiters) wake();
        waiters = [];
      },
    };
  };
  return {
    add: (cut, onDrain, held = nothing) => addTo(open, { cut, onDrain, held }),
    addAnswer: (cut, onDrain) => addTo(answers, { cut, onDrain, held: nothing }),
    async settled(signal) {
      if (isSettled()) return true;
      if (signal.aborted) return false;
      return new Promise((resolve) => {
        waiters.push(() => resolve(true));
        signal.addEventListener('abort', () => resolve(false), { once: true });
      });
    },
    drain() {
      for (const one of [...open, ...answers]) void tryToEnd(one.onDrain);
    },
    async cutAll() {
      await Promise.all([...open].map((one) => tryToEnd(one.cut)));
      await Promise.all([...answers].map((one) => tryToEnd(one.cut)));
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
