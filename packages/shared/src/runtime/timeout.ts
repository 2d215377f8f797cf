/**
 * Rejects with the error that `late` makes if the work takes longer than `ms` milliseconds; ignores the work's later
 * result. One promise and one timer: `Promise.race` takes twice as long, and each request does this several times.
 *
 * A reply that arrived in time but could not be read, because the event loop of this process was blocked, is not late:
 * timers run before sockets are read, so the timer lets the sockets be read once first.
 */
export function withTimeout<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const timer = setTimeout(() => {
      setImmediate(() => {
        if (!settled) reject(late());
      });
    }, ms);
    const over = (settle: () => void): void => {
      settled = true;
      clearTimeout(timer);
      settle();
    };
    work.then(
      (value) => over(() => resolve(value)),
      (error: Error) => over(() => reject(error)),
    );
  });
}
