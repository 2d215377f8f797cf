/**
 * Schedules the log reads of the readers that share one connection: a few at a time, and only while the
 * connection has room. Without room a read would be discarded and repeated.
 */
export type ReadScheduler = {
  /** Adds a reader. `resume`: of the reader, as the relay returned it. */
  add(resume: () => void): ScheduledRead;
  /** Starts waiting reads. Call it when there is room again. */
  schedule(): void;
  /** Readers that wait. */
  readonly waiting: number;
};

export type ScheduledRead = {
  /** Call it right before the relay opens a reader that begins with a read. */
  opening(): void;
  /** The relay calls it before a read and before it delivers lines. */
  hasRoom(): boolean;
  /** The reader is paused, and continues when it is its turn. */
  queue(): void;
  remove(): void;
};

/** Concurrent reads of one connection. */
export const readsAtOnce = 4;

type Entry = {
  resume: () => void;
  /**
   * The meaning of the next `hasRoom` call. `opening`: may a read begin? `starting`: the same, and the read
   * counts as running already. `reading`: may the lines of the read be delivered? `idle`: it concerns live
   * lines, or a read that the relay began by itself.
   */
  phase: 'idle' | 'opening' | 'starting' | 'reading' | 'left';
};

export function createReadScheduler(hasRoom: () => boolean): ReadScheduler {
  /** Readers that wait; all are paused. */
  const waiting = new Set<Entry>();
  let running = 0;

  const mayStart = () => running < readsAtOnce && hasRoom();

  function schedule(): void {
    for (const entry of waiting) {
      if (!mayStart()) return;
      waiting.delete(entry);
      start(entry, 'starting');
      // The relay calls `hasRoom` at once, or after the reads of other connections.
      entry.resume();
    }
  }

  function start(entry: Entry, phase: 'starting' | 'reading'): void {
    entry.phase = phase;
    running += 1;
  }

  function end(entry: Entry): void {
    entry.phase = 'idle';
    running -= 1;
    // The next read starts after the lines of this one are delivered and the remaining room is known.
    queueMicrotask(schedule);
  }

  function mayContinue(entry: Entry): boolean {
    const { phase } = entry;
    if (phase === 'starting' && hasRoom()) {
      entry.phase = 'reading';
      return true;
    }
    if (phase === 'opening' && mayStart()) {
      start(entry, 'reading');
      return true;
    }
    if (phase === 'starting' || phase === 'reading') end(entry);
    entry.phase = 'idle';
    if (phase !== 'opening' && hasRoom()) return true;
    waiting.add(entry);
    return false;
  }

  return {
    add(resume) {
      const entry: Entry = { resume, phase: 'idle' };
      return {
        opening() {
          entry.phase = 'opening';
        },
        hasRoom: () => mayContinue(entry),
        queue() {
          waiting.add(entry);
          schedule();
        },
        remove() {
          waiting.delete(entry);
          if (entry.phase === 'starting' || entry.phase === 'reading') end(entry);
          entry.phase = 'left';
        },
      };
    },
    schedule,
    get waiting() {
      return waiting.size;
    },
  };
}
