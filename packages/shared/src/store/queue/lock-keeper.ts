export type LockKeeperOptions = {
  /** Renews the locks. Resolves with the ids of the jobs that the tokens no longer hold. */
  extend(ids: string[], tokens: string[]): Promise<string[]>;
  /** Milliseconds between two renewals. */
  everyMs: number;
  onError(error: Error): void;
};

export type KeptLock = {
  /** Aborts when this worker no longer holds the job. */
  readonly lost: AbortSignal;
  /** Ends the renewals of this lock only. */
  release(): void;
};

/**
 * Keeps the locks of the jobs that a worker holds. A job that was taken from the worker can come back
 * to it while its old run still ends: then the old lock is lost, and releasing it does not touch the new one.
 */
export type LockKeeper = {
  keep(id: string, token: string): KeptLock;
  /** Whether this keeper renews the job's lock. */
  has(id: string): boolean;
  /** Renews all locks now, and finds those that are lost. Never rejects. */
  renew(): Promise<void>;
  close(): void;
};

/** Locks in one call: Redis serves no other client until the script ends. */
const batchSize = 500;

type Lock = { id: string; token: string; controller: AbortController };

export function createLockKeeper({ extend, everyMs, onError }: LockKeeperOptions): LockKeeper {
  const locks = new Map<string, Lock>();

  function lose(lock: Lock): void {
    if (locks.get(lock.id) === lock) locks.delete(lock.id);
    lock.controller.abort(new Error('the lock of the job was lost'));
  }

  async function renew(): Promise<void> {
    const all = [...locks.values()];
    for (let at = 0; at < all.length; at += batchSize) {
      const batch = all.slice(at, at + batchSize);
      try {
        const failed = new Set(
          await extend(
            batch.map(({ id }) => id),
            batch.map(({ token }) => token),
          ),
        );
        for (const lock of batch) if (failed.has(lock.id)) lose(lock);
      } catch (error) {
        onError(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  const timer = setInterval(() => void renew(), everyMs);
  return {
    keep(id, token) {
      const older = locks.get(id);
      // Redis gives out no job that has a lock, so the older one is lost.
      if (older) lose(older);
      const lock: Lock = { id, token, controller: new AbortController() };
      locks.set(id, lock);
      return {
        lost: lock.controller.signal,
        release() {
          if (locks.get(id) === lock) locks.delete(id);
        },
      };
    },
    has: (id) => locks.has(id),
    renew,
    close: () => clearInterval(timer),
  };
}
