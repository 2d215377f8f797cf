export type WakeUpOptions = {
  now: () => number;
  /** When time alone changes anything next, in milliseconds since the epoch. */
  nextAt(): number | undefined;
  /** That time has come. */
  onWake(): void;
  onError: (error: unknown) => void;
};

/** The one timer of all breakers, and those who wait for a target that may be asked. */
export function createWakeUp({ now, nextAt, onWake, onError }: WakeUpOptions) {
  const listeners = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let told = false;

  /** After every change. */
  function arm(): void {
    clearTimeout(timer);
    const at = closed ? undefined : nextAt();
    // A clock that was set back makes it wake too early, and wait on.
    if (at !== undefined) timer = setTimeout(wake, Math.max(1, Math.ceil(at - now())));
  }

  function wake(): void {
    onWake();
    notify();
    arm();
  }

  /** Once for all that changes in one turn, and not in the middle of it. */
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
      // Two that pass the same function are two.
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
