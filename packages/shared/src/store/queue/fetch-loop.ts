import { setImmediate as turnEnd, setTimeout as sleepFor } from 'node:timers/promises';
import type { ConcurrencyLimit } from './concurrency.ts';

export type FetchLoopOptions<Job> = {
  /** Shared with the other shards, which take turns. */
  limit: ConcurrencyLimit;
  /** Most jobs in one fetch. */
  maxPerFetch: number;
  /** Fetches the next jobs, `most` at most. `left`: more jobs wait. */
  fetch(most: number): Promise<Fetched<Job>>;
  /** Runs one job; the loop releases its slot when the promise settles. */
  run(job: Job): Promise<void>;
  /** Waits until there may be a job again, or for a bounded time. The caller of `stop` has to end it. */
  sleep(): Promise<void>;
  onError(error: unknown): void;
};

export type Fetched<Job> = { jobs: readonly Job[]; left: boolean };

/** Fetches one shard's jobs and runs them, as many at a time as the limit allows. */
export type FetchLoop<Job> = {
  /** Fetches at once: there may be a job. */
  fetchNow(): void;
  /** Runs a dispatched job, even if no slot is free. */
  begin(job: Job): void;
  /** Fetches with several calls in parallel, because `jobs` jobs wait now. */
  fetchBurst(jobs: number): void;
  /** Fetches no more; ends when every job has ended. */
  stop(): Promise<void>;
};

/** Most fetches in parallel while more jobs wait than one fetch brings. */
const maxFetchers = 4;

/** Most fetches in parallel after `fetchBurst`: a dead worker's readers wait. */
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
  /** `fetchNow` was called while a fetch was under way, which may have missed the new job. */
  let mustFetchAgain = false;

  const pause = () => sleepFor(retryDelayMs, undefined, { signal }).catch(() => {});

  /** Takes slots for the next fetch; 0 at the end. If none is free, one fetcher of the shard waits for all. */
  async function acquireSlots(): Promise<number> {
    if (signal.aborted) return 0;
    if (limit.tryAcquire()) return 1 + limit.acquireMore(maxPerFetch - 1);
    if (isWaitingForSlot) return 0;
    isWaitingForSlot = true;
    const has = await limit.acquire();
    isWaitingForSlot = false;
    if (!has) return 0;
    // Several jobs may end in one turn of the event loop: one fetch fills their slots.
    await turnEnd();
    if (signal.aborted) {
      limit.release();
      return 0;
    }
    return 1 + limit.acquireMore(maxPerFetch - 1);
  }

  /** Fetches until no job waits. If one fetch does not bring them all, it starts further fetchers. */
  async function fetchUntilEmpty(): Promise<void> {
    let fetches = 0;
    for (let free = await acquireSlots(); free > 0; free = await acquireSlots()) {
      try {
        const { jobs, left } = await fetch(free);
        // Before the jobs begin: a job goes back if more slots are in use than the limit allows.
        releaseSlots(free - jobs.length);
        for (const job of jobs) begin(job);
        // Without a free slot the loop waits for one here, not in Redis, where it would use up the wake-ups of others.
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
      // A fetcher that still runs may have fetched before the job came that caused this wake-up.
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
