/**
 * Milliseconds since 1970 with fractions, from a monotonic clock: measures the gap between two requests, also
 * between the simulators of several processes on one machine.
 */
export function exactTime(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * Schedules the waits of all streams: everything that is due in the same millisecond shares one timer, so a
 * thousand paced streams need no more timers than there are milliseconds.
 */
export class Clock {
  readonly #slots = new Map<number, { timer: NodeJS.Timeout; due: Set<() => void> }>();
  #hurried = false;

  /** Milliseconds on the clock that `at` uses. */
  now(): number {
    return performance.now();
  }

  /** Ends all waits at once, and all later ones until `relax`. */
  hurry(): void {
    this.#hurried = true;
    const keys = [...this.#slots.keys()].sort((a, b) => a - b);
    for (const key of keys) {
      clearTimeout(this.#slots.get(key)?.timer);
      this.#fire(key);
    }
  }

  relax(): void {
    this.#hurried = false;
  }

  /** Runs `run` once, not before `due`; the returned function cancels that. */
  at(due: number, run: () => void): () => void {
    const key = Math.ceil(this.#hurried ? this.now() : due);
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      const timer = setTimeout(() => this.#fire(key), Math.max(0, key - this.now()));
      slot = { timer, due: new Set() };
      this.#slots.set(key, slot);
    }
    const waiting = slot.due;
    waiting.add(run);
    return () => {
      if (!waiting.delete(run) || waiting.size > 0) return;
      const slotNow = this.#slots.get(key);
      if (slotNow?.due !== waiting) return;
      clearTimeout(slotNow.timer);
      this.#slots.delete(key);
    };
  }

  /** Resolves at `due`, or at once when the signal aborts. */
  async until(due: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.at(due, finish);
      function finish(): void {
        signal.removeEventListener('abort', abort);
        resolve();
      }
      function abort(): void {
        cancel();
        resolve();
      }
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  #fire(key: number): void {
    const slot = this.#slots.get(key);
    this.#slots.delete(key);
    if (slot === undefined) return;
    // A callback may cancel another one of the same millisecond, which must not run then.
    for (const run of slot.due) {
      slot.due.delete(run);
      run();
    }
  }

  close(): void {
    for (const { timer } of this.#slots.values()) clearTimeout(timer);
    this.#slots.clear();
  }
}
