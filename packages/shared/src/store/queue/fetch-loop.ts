import { setImmediate as turnEnd, setTimeout as sleepFor } from 'node:timers/promises';
import type { ConcurrencyLimit } from './concurrency.ts';

export type FetchLoopOptions<Job> = {
  /** Shared with the other shards, which take turns. */
  limit: ConcurrencyLimit;
  /** Jobs in one fetch, at most. */
  maxPerFetch: number;
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
export type FetchLoop<Job> = {
  /** There may be a job: looks at once. */
  fetchNow(): void;
  /** A job that came unasked: it takes a place also where none is free. */
  begin(job: Job): void;
  /** So many jobs wait at this moment: fetches them side by side, not in turn. */
  fetchBurst(jobs: number): void;
  /** Fetches no more; ends when every job has. */
  stop(): Promise<void>;
};

/** Fetches under way at once while more is left than one of them brings. */
const maxFetchers = 4;

/** More of them when many jobs are known to wait, until there are none: a dead worker's readers wait. */
const maxBurstFetchers = 16;

/** Milliseconds before a fetch that failed is tried again. */
const retryDelayMs = 250;

export function startFetchLoop<Job>(options: FetchLoopOptions<Job>): FetchLoop<Job> {
  const { limit, maxPerFetch, fetch, run, sleep, onError } = options;
  const fetchers = new Set<Promise<void>>();
  const runs = new Set<Promise<void>>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let isWaitingForSlot = false;
  /** Somebody asked for a look, and a lane that was under way then may have looked before. */
  let mustFetchAgain = false;

  const pause = () => sleepFor(retryDelayMs, undefined, { signal }).catch(() => {});

  /** Places for the next jobs: none at the end. Where none is free, one lane of the shard waits in line for all. */
  async function acquireSlots(): Promise<number> {
    if (signal.aborted) return 0;
    if (limit.tryAcquire()) return 1 + limit.acquireMore(maxPerFetch - 1);
    if (isWaitingForSlot) return 0;
    isWaitingForSlot = true;
    const has = await limit.acquire();
    isWaitingForSlot = false;
    if (!has) return 0;
    // Several jobs may end in one turn of the event loop: one fetch fills their places.
    await turnEnd();
    if (signal.aborted) {
      limit.release();
      return 0;
    }
    return 1 + limit.acquireMore(maxPerFetch - 1);
  }

  /** Fetches until there is nothing left; where one fetch does not bring all of it, others fetch beside it. */
  async function fetchUntilEmpty(): Promise<void> {
    let fetches = 0;
    for (let free = await acquireSlots(); free > 0; free = await acquireSlots()) {
      try {
        const { jobs, left } = await fetch(free);
        // Before the jobs begin: a job goes back where there are more of them than places.
        releaseSlots(free - jobs.length);
        for (const job of jobs) begin(job);
        // One without a place waits in line for it, and not in Redis, where it would take the wake-ups of others.
        if (!left && limit.hasFree) return;
        fetches += 1;
        if (fetches > 1) startFetchers(maxFetchers);
      } catch (error) {
        releaseSlots(free);
        if (!signal.aborted) onError(error);
        await pause();
      }
    }
  }

  function releaseSlots(unused: number): void {
    for (let i = 0; i < unused; i += 1) limit.release();
  }

  function begin(job: Job): void {
    const running = run(job)
      .catch(onError)
      .finally(() => {
        runs.delete(running);
        limit.release();
      });
    runs.add(running);
  }

  function startFetchers(upTo: number): void {
    while (fetchers.size < upTo && !signal.aborted) {
      const fetcher = fetchUntilEmpty().finally(() => fetchers.delete(fetcher));
      fetchers.add(fetcher);
    }
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      // A lane of a rush or a look that is still open may have looked before what this was woken for was there.
      mustFetchAgain = fetchers.size > 0;
      startFetchers(1);
      while (fetchers.size > 0) await Promise.all(fetchers);
      if (mustFetchAgain || signal.aborted) continue;
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
      limit.acquireAnyway();
      begin(job);
    },
    fetchNow() {
      mustFetchAgain = true;
      startFetchers(1);
    },
    fetchBurst(jobs) {
      mustFetchAgain = true;
      startFetchers(Math.min(Math.ceil(jobs / maxPerFetch), maxBurstFetchers));
    },
    async stop() {
      stopping.abort();
      await watching;
      // A fetch that was under way may have brought a job.
      while (fetchers.size + runs.size > 0) await Promise.all([...fetchers, ...runs]);
    },
  };
}
