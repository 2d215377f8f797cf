import { setTimeout as sleepFor } from 'node:timers/promises';
import type { Places } from './places.ts';

export type FetchingOptions<Job> = {
  /** Shared with the other shards, which take turns. */
  places: Places;
  /** The next job, or none for now. */
  fetch(): Promise<Job | undefined>;
  /**
   * From its fetch to its end: the place is given back then, or is the next job's that the end brought
   * along, where it was asked to.
   */
  run(job: Job, wantsNext: () => boolean): Promise<Job | undefined>;
  /** Ends when there may be a job again, or by itself; to be ended from outside when this stops. */
  sleep(): Promise<void>;
  onError(error: unknown): void;
};

/** Fetches one shard's jobs and runs them, as many as there are places. */
export type Fetching = {
  /** There may be a job: looks at once. */
  look(): void;
  /** So many jobs wait at this moment: fetches them side by side, not in turn. */
  rush(jobs: number): void;
  /** Fetches no more; ends when every job has. */
  stop(): Promise<void>;
};

/** Fetches under way at once: a hundred round trips in a row are too long for readers who wait. */
const fetchLanes = 4;

/** More of them when many jobs are known to wait, until there are none: a dead worker's readers wait. */
const rushLanes = 16;

/** Milliseconds before a fetch that failed is tried again. */
const retryDelayMs = 250;

export function startFetching<Job>(options: FetchingOptions<Job>): Fetching {
  const { places, fetch, run, sleep, onError } = options;
  const lanes = new Set<Promise<void>>();
  const runs = new Set<Promise<void>>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let isInLine = false;
  /** Somebody asked for a look, and a lane that was under way then may have looked before. */
  let mustLook = false;

  const pause = () => sleepFor(retryDelayMs, undefined, { signal }).catch(() => {});

  /** A place for the next job. Where none is free, one lane of the shard waits in line for all. */
  async function hasPlace(): Promise<boolean> {
    if (signal.aborted) return false;
    if (places.take()) return true;
    if (isInLine) return false;
    isInLine = true;
    const has = await places.next();
    isInLine = false;
    return has;
  }

  /** One job after the other until there is none; who finds two in a row has others fetch, too. */
  async function lane(): Promise<void> {
    let found = 0;
    while (await hasPlace()) {
      try {
        const job = await fetch();
        if (job === undefined) return places.giveBack();
        begin(job);
        found += 1;
        if (found > 1) open(fetchLanes);
      } catch (error) {
        places.giveBack();
        if (!signal.aborted) onError(error);
        await pause();
      }
    }
  }

  /** While this shard looks for jobs, and takes nobody's turn by it. */
  const wantsNext = (): boolean =>
    lanes.size > 0 && !signal.aborted && !places.over && places.waiting <= (isInLine ? 1 : 0);

  async function runOn(first: Job): Promise<void> {
    for (let job: Job | undefined = first; job !== undefined;) job = await run(job, wantsNext);
  }

  function begin(job: Job): void {
    const running = runOn(job)
      .catch(onError)
      .finally(() => {
        runs.delete(running);
        places.giveBack();
      });
    runs.add(running);
  }

  function open(upTo: number): void {
    while (lanes.size < upTo && !signal.aborted) {
      const opened = lane().finally(() => lanes.delete(opened));
      lanes.add(opened);
    }
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      mustLook = false;
      open(1);
      while (lanes.size > 0) await Promise.all(lanes);
      if (mustLook || signal.aborted) continue;
      try {
        await sleep();
      } catch (error) {
        if (!signal.aborted) onError(error);
        await pause();
      }
    }
  }

  const watching = watch();

  return {
    look() {
      mustLook = true;
      open(1);
    },
    rush(jobs) {
      mustLook = true;
      open(Math.min(jobs, rushLanes));
    },
    async stop() {
      stopping.abort();
      await watching;
      // A fetch that was under way may have brought a job.
      while (lanes.size + runs.size > 0) await Promise.all([...lanes, ...runs]);
    },
  };
}
