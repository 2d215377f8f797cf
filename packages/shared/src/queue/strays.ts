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
  /** To be asked after every lost connection: finds also those that the end of another job brought. */
  look(): void;
  /** A fetch was sent twice, maybe, or failed halfway: what has its token and did not come with its answer is put back at once. */
  claim(token: string, came: ReadonlySet<string>): void;
  close(): void;
};

/** Milliseconds after which a job is no longer on its way to us, nor from us to its end. */
const onItsWayMs = 1000;

export function createStrays({ held, isKept, putBack, onError }: StraysOptions): Strays {
  let timer: NodeJS.Timeout | undefined;

  const unknown = async () => (await held()).filter(({ id }) => !isKept(id));

  async function look(): Promise<void> {
    try {
      const suspects = new Map((await unknown()).map(({ id, token }) => [id, token]));
      clearTimeout(timer);
      if (suspects.size > 0) timer = setTimeout(() => void confirm(suspects), onItsWayMs);
    } catch (error) {
      onError(error);
    }
  }

  async function confirm(suspects: ReadonlyMap<string, string>): Promise<void> {
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
    look: () => void look(),
    claim: (token, came) => void claim(token, came),
    close: () => clearTimeout(timer),
  };
}
