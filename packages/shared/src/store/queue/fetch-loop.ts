import { setImmediate as turnEnd, setTimeout as sleepFor } from 'node:timers/promises';
import type { Places } from './concurrency.ts';

export type FetchingOptions<Job> = {
  /** Shared with the other shards, which take turns. */
  places: Places;
  /** Jobs in one fetch, at most. */
  mostAtOnce: number;
  /** The next jobs, so many at most, and whether there are more of them. */
  fetch(most: number): Promise<Fetched<Job>>;
  /** From its fetch to its end: its place is given back then. */
  run(job: Job): Promise<void>;
  /** Ends when there may be a job again, or by itself; to be ended from outside when this stops. */
  sleep(): Promise<void>;
  onError(error: unknown): void;
};

export type Fetched<Job> = { jobs: readonly Job[]; left: boolean };

/** Fetches one shard's jobs and runs them, as many as there are places. */
export type Fetching<Job> = {
  /** There may be a job: looks at once. */
  look(): void;
  /** A job that came unasked: it takes a place also where none is free. */
  begin(job: Job): void;
  /** So many jobs wait at this moment: fetches them side by side, not in turn. */
  rush(jobs: number): void;
  /** Fetches no more; ends when every job has. */
  stop(): Promise<void>;
};

/** Fetches under way at once while more is left than one of them brings. */
const fetchLanes = 4;

/** More of them when many jobs are known to wait, until there are none: a dead worker's readers wait. */
const rushLanes = 16;

/** Milliseconds before a fetch that failed is tried again. */
const retryDelayMs = 250;

export function startFetching<Job>(options: FetchingOptions<Job>): Fetching<Job> {
  const { places, mostAtOnce, fetch, run, sleep, onError } = options;
  const lanes = new Set<Promise<void>>();
  const runs = new Set<Promise<void>>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let isInLine = false;
  /** Somebody asked for a look, and a lane that was under way then may have looked before. */
  let mustLook = false;

  const pause = () => sleepFor(retryDelayMs, undefined, { signal }).catch(() => {});

  /** Places for the next jobs: none at the end. Where none is free, one lane of the shard waits in line for all. */
  async function takePlaces(): Promise<number> {
    if (signal.aborted) return 0;
    if (places.take()) return 1 + places.takeMore(mostAtOnce - 1);
    if (isInLine) return 0;
    isInLine = true;
    const has = await places.next();
    isInLine = false;
    if (!has) return 0;
    // Several jobs may end in one turn of the event loop: one fetch fills their places.
    await turnEnd();
    if (signal.aborted) {
      places.giveBack();
      return 0;
    }
    return 1 + places.takeMore(mostAtOnce - 1);
  }

  /** Fetches until there is nothing left; where one fetch does not bring all of it, others fetch beside it. */
  async function lane(): Promise<void> {
    let fetches = 0;
    for (let free = await takePlaces(); free > 0; free = await takePlaces()) {
      try {
        const { jobs, left } = await fetch(free);
        // Before the jobs begin: a job goes back where there are more of them than places.
        giveBack(free - jobs.length);
        for (const job of jobs) begin(job);
        // One without a place waits in line for it, and not in Redis, where it would take the wake-ups of others.
        if (!left && places.free) return;
        fetches += 1;
        if (fetches > 1) open(fetchLanes);
      } catch (error) {
        giveBack(free);
        if (!signal.aborted) onError(error);
        await pause();
      }
    }
  }

  function giveBack(unused: number): void {
    for (let i = 0; i < unused; i += 1) places.giveBack();
  }

  function begin(job: Job): void {
    const running = run(job)
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
      // A lane of a rush or a look that is still open may have looked before what this was woken for was there.
      mustLook = lanes.size > 0;
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
    begin(job) {
      places.takeAnyway();
      begin(job);
    },
    look() {
      mustLook = true;
      open(1);
    },
    rush(jobs) {
      mustLook = true;
      open(Math.min(Math.ceil(jobs / mostAtOnce), rushLanes));
    },
    async stop() {
      stopping.abort();
      await watching;
      // A fetch that was under way may have brought a job.
      while (lanes.size + runs.size > 0) await Promise.all([...lanes, ...runs]);
    },
  };
}
