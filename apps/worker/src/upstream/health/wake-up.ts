export type WakeUpOptions = {
  now: () => number;
  /** When the passing of time next changes a state, in milliseconds since the epoch. */
  nextAt(): number | undefined;
  /** Called at that time. */
  onWake(): void;
  onError: (error: unknown) => void;
};

/** One timer for all breakers, and the listeners that wait for an available target. */
export function createWakeUp({ now, nextAt, onWake, onError }: WakeUpOptions) {
  const listeners = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let told = false;

  /** Sets the timer again; called after every change. */
  function arm(): void {
    clearTimeout(timer);
    const at = closed ? undefined : nextAt();
    // If the clock was set back, it wakes too early and waits again.
    if (at !== undefined) timer = setTimeout(wake, Math.max(1, Math.ceil(at - now())));
  }

  function wake(): void {
    onWake();
    notify();
    arm();
  }

  /** Notifies once for all changes of one turn, after them. */
  function notify(): void {
    if (told || closed) return;
    told = true;
    queueMicrotask(() => {
      told = false;
      for (const listener of listeners) {
        try {
          listener();
        } catch (error) {
          onError(error);
        }
      }
    });
  }

  return {
    arm,
    notify,
    listen(listener: () => void): () => void {
      // Two listeners with the same function are separate.
      const own = () => listener();
      listeners.add(own);
      return () => {
        listeners.delete(own);
      };
    },
    close(): void {
      closed = true;
      clearTimeout(timer);
      listeners.clear();
    },
  };
}
