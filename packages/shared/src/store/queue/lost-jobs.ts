import type { HeldJob } from './held-jobs.ts';

export type StraysOptions = {
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
export type Strays = {
  /** To be called after every lost connection: a fetch may have been carried out whose answer was lost. */
  look(): void;
  /** A fetch was sent twice, maybe, or failed halfway: what has its token and did not come with its answer is put back at once. */
  claim(token: string, came: ReadonlySet<string>): void;
  /** For when nothing is on its way any more: ends when all that was found is back. */
  close(): Promise<void>;
};

/** Milliseconds after which a job is no longer on its way to us, nor from us to its end. */
const onItsWayMs = 1000;

export function createStrays({ held, isKept, putBack, onError }: StraysOptions): Strays {
  let waiting: { timer: NodeJS.Timeout; suspects: ReadonlyMap<string, string> } | undefined;
  const working = new Set<Promise<void>>();
  let isClosed = false;

  const unknown = async () => (await held()).filter(({ id }) => !isKept(id));

  function start(work: Promise<void>): void {
    const started = work.finally(() => working.delete(started));
    working.add(started);
  }

  async function look(): Promise<void> {
    try {
      const suspects = new Map((await unknown()).map(({ id, token }) => [id, token]));
      clearTimeout(waiting?.timer);
      waiting =
        suspects.size > 0
          ? { suspects, timer: setTimeout(() => start(confirm(suspects)), onItsWayMs) }
          : undefined;
    } catch (error) {
      onError(error);
    }
  }

  async function confirm(suspects: ReadonlyMap<string, string>): Promise<void> {
    waiting = undefined;
    try {
      const strays = (await unknown()).filter(({ id, token }) => suspects.get(id) === token);
      await Promise.all(strays.map(putBack));
    } catch (error) {
      onError(error);
    }
  }

  async function claim(token: string, came: ReadonlySet<string>): Promise<void> {
    try {
      const ours = (await unknown()).filter((job) => job.token.startsWith(token));
      await Promise.all(ours.filter(({ id }) => !came.has(id)).map(putBack));
    } catch (error) {
      onError(error);
    }
  }

  return {
    look() {
      if (!isClosed) start(look());
    },
    claim: (token, came) => start(claim(token, came)),
    async close() {
      isClosed = true;
      await Promise.all(working);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      await confirm(waiting.suspects);
    },
  };
}
