import type { JobQueue } from '@millrace/shared/store/queue/port';

/**
 * Sends the queue position to native readers of waiting requests, and again after each noticeable change.
 * One query a second for all of them.
 */
export type QueuePositions = {
  /** Reports at once if the request waits. Ends by itself when the request no longer waits. */
  watch(id: string, report: (position: QueuePosition) => void): PositionWatch;
  /** Milliseconds that a job at this position waits; undefined while unknown. */
  estimate(position: number): number | undefined;
  readonly watchers: number;
  stop(): void;
};

/** `position`: how many jobs wait before this one. `waitMs`: undefined while unknown. */
export type QueuePosition = { position: number; waitMs: number | undefined };

export type PositionWatch = {
  /** Resolves after the first report, or when there will be none. Never rejects. */
  readonly reported: Promise<void>;
  /** Idempotent. */
  stop(): void;
};

export type QueuePositionsDeps = {
  queue: Pick<JobQueue, 'positions'>;
  /** Milliseconds until workers have taken this many jobs of one shard; undefined while unknown. */
  waitFor(jobs: number): number | undefined;
  onError(error: unknown): void;
  everyMs?: number;
};

type Watcher = {
  id: string;
  report: (position: QueuePosition) => void;
  at: number | undefined;
  waitMs: number | undefined;
};

export function createQueuePositions(deps: QueuePositionsDeps): QueuePositions {
  const { queue, waitFor, onError, everyMs = 1000 } = deps;
  const watchers = new Set<Watcher>();
  let timer: NodeJS.Timeout | undefined;
  let isReading = false;

  async function read(some: readonly Watcher[]): Promise<void> {
    try {
      const ids = [...new Set(some.map(({ id }) => id))];
      const found = await queue.positions(ids);
      const positions = new Map(ids.map((id, i) => [id, found[i]]));
      for (const watcher of some) {
        // Stopped meanwhile.
        if (watchers.has(watcher)) report(watcher, positions.get(watcher.id));
      }
    } catch (error) {
      onError(error);
    }
  }

  function report(watcher: Watcher, position: number | undefined): void {
    if (position === undefined) {
      stop(watcher);
      return;
    }
    const waitMs = estimate(position);
    if (!isNoticeable(watcher, position, waitMs)) return;
    watcher.at = position;
    watcher.waitMs = waitMs;
    watcher.report({ position, waitMs });
  }

  /** Until a worker takes the job itself. */
  const estimate = (position: number) => waitFor(position + 1);

  function stop(watcher: Watcher): void {
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function tick(): void {
    if (isReading) return;
    isReading = true;
    void read([...watchers]).finally(() => {
      isReading = false;
    });
  }

  return {
    watch(id, toWatcher) {
      const watcher: Watcher = { id, report: toWatcher, at: undefined, waitMs: undefined };
      watchers.add(watcher);
      timer ??= setInterval(tick, everyMs).unref();
      return { reported: read([watcher]), stop: () => stop(watcher) };
    },
    estimate,
    get watchers() {
      return watchers.size;
    },
    stop: () => clearInterval(timer),
  };
}

/** A change of the position by a tenth, or of the estimate, which fluctuates, by a fifth. */
function isNoticeable(
  { at, waitMs: reported }: Watcher,
  position: number,
  waitMs: number | undefined,
): boolean {
  if (at === undefined) return true;
  if (Math.abs(position - at) >= Math.max(1, at / 10)) return true;
  if (reported === undefined || waitMs === undefined) return reported !== waitMs;
  return Math.abs(waitMs - reported) >= Math.max(1000, reported / 5);
}
