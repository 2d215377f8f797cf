import type { HeldJob } from './held-jobs.ts';

export type LostJobsOptions = {
  /** The jobs that we hold, as Redis has it. */
  held(): Promise<HeldJob[]>;
  /** Whether we know of it. */
  isKept(id: string): boolean;
  putBack(job: HeldJob): Promise<unknown>;
  onError(error: unknown): void;
};

/**
 * Finds the jobs that Redis gave to this worker in an answer that was lost with its connection: the
 * command is sent again and brings other jobs, and nobody would run the first ones before their locks
 * have expired.
 */
export type LostJobs = {
  /** To be called after every lost connection: a fetch may have been carried out whose answer was lost. */
  check(): void;
  /** A fetch was sent twice, maybe, or failed halfway: what has its token and did not come with its answer is put back at once. */
  reclaim(token: string, came: ReadonlySet<string>): void;
  /** For when nothing is on its way any more: ends when all that was found is back. */
  close(): Promise<void>;
};

/** Milliseconds after which a job is no longer on its way to us, nor from us to its end. */
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

  async function check(): Promise<void> {
    try {
      const candidates = new Map((await unknownJobs()).map(({ id, token }) => [id, token]));
      clearTimeout(waiting?.timer);
      waiting =
        candidates.size > 0
          ? { candidates, timer: setTimeout(() => start(confirm(candidates)), inFlightMs) }
          : undefined;
    } catch (error) {
      onError(error);
    }
  }

  async function confirm(candidates: ReadonlyMap<string, string>): Promise<void> {
    waiting = undefined;
    try {
      const lost = (await unknownJobs()).filter(({ id, token }) => candidates.get(id) === token);
      await Promise.all(lost.map(putBack));
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
