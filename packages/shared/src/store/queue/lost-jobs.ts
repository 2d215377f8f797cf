import type { HeldJob } from './held-jobs.ts';

export type LostJobsOptions = {
  /** The jobs that this worker holds according to Redis. */
  held(): Promise<HeldJob[]>;
  /** Whether this worker runs the job. */
  isKept(id: string): boolean;
  putBack(job: HeldJob): Promise<unknown>;
  onError(error: unknown): void;
};

/**
 * Finds jobs that Redis gave to this worker in a reply that was lost with its connection: ioredis sends the command
 * again, which brings other jobs, and no worker would run the first ones before their locks expire.
 */
export type LostJobs = {
  /** Call it after every lost connection: Redis may have carried out a fetch whose reply was lost. */
  check(): void;
  /** Call it after a fetch that may have been sent twice, or failed halfway: puts jobs with its token back that its reply did not bring. */
  reclaim(token: string, came: ReadonlySet<string>): void;
  /** Call it when no fetch is under way: ends when every lost job is back. */
  close(): Promise<void>;
};

/** Milliseconds after which a job is no longer in flight to this worker, nor from it to its end. */
const inFlightMs = 1000;

export function createLostJobs({ held, isKept, putBack, onError }: LostJobsOptions): LostJobs {
  let waiting: { timer: NodeJS.Timeout; candidates: ReadonlyMap<string, string> } | undefined;
  const working = new Set<Promise<void>>();
  let isClosed = false;

  const unknownJobs = async () => (await held()).filter(({ id }) => !isKept(id));

  function start(work: Promise<void>): void {
    const started = work.finally(() => working.delete(started));
    working.add(started);
  }

  function confirmLater(unknown: readonly HeldJob[]): void {
    // A pending confirmation is not postponed: checks may come more often than it takes.
    if (waiting || unknown.length === 0) return;
    const candidates = new Map(unknown.map(({ id, token }) => [id, token]));
    waiting = { candidates, timer: setTimeout(() => start(confirm(candidates)), inFlightMs) };
  }

  async function check(): Promise<void> {
    try {
      confirmLater(await unknownJobs());
    } catch (error) {
      onError(error);
    }
  }

  async function confirm(candidates: ReadonlyMap<string, string>): Promise<void> {
    waiting = undefined;
    try {
      const unknown = await unknownJobs();
      const isLost = ({ id, token }: HeldJob) => candidates.get(id) === token;
      if (!isClosed) confirmLater(unknown.filter((job) => !isLost(job)));
      await Promise.all(unknown.filter((job) => isClosed || isLost(job)).map(putBack));
    } catch (error) {
      onError(error);
    }
  }

  async function reclaim(token: string, came: ReadonlySet<string>): Promise<void> {
    try {
      const ours = (await unknownJobs()).filter((job) => job.token.startsWith(token));
      await Promise.all(ours.filter(({ id }) => !came.has(id)).map(putBack));
    } catch (error) {
      onError(error);
    }
  }

  return {
    check() {
      if (!isClosed) start(check());
    },
    reclaim: (token, came) => start(reclaim(token, came)),
    async close() {
      isClosed = true;
      await Promise.all(working);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      await confirm(waiting.candidates);
    },
  };
}
