export type LockKeeperOptions = {
  /** Renews the locks; resolves with the ids of those that are not the tokens' any more. */
  extend(ids: string[], tokens: string[]): Promise<string[]>;
  /** Milliseconds between two renewals. */
  everyMs: number;
  onError(error: Error): void;
};

export type KeptLock = {
  /** Aborted when the job is not ours any more. */
  readonly lost: AbortSignal;
  /** Ends the renewals of this lock, and of no other one. */
  release(): void;
};

/**
 * Keeps the locks of the jobs that a worker holds. A job that was taken from the worker can come back
 * to it while its old run still ends: then the old lock is lost, and its end leaves the new one alone.
 */
export type LockKeeper = {
  keep(id: string, token: string): KeptLock;
  /** Whether the lock of this job is kept here. */
  has(id: string): boolean;
  /** Renews all of them now, and so finds those that are lost. Never rejects. */
  renew(): Promise<void>;
  close(): void;
};

/** Locks in one call: Redis runs a script to its end, and everybody else waits. */
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
      // Nobody gets a job that has a lock.
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
