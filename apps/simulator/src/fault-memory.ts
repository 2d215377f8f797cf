import type { Options } from './keys.ts';

interface Seen {
  readonly firstAt: number;
  count: number;
}

const LIMIT = 10_000;

/**
 * Counts how often each fault was hit. A fault is identified by the model name and the request's `user`, so
 * tests that use different ones (`key=`) do not affect each other.
 */
export class FaultMemory {
  readonly #seen = new Map<string, Seen>();

  /** Counts this request; returns whether it still gets the fault. `now` is in milliseconds. */
  strikes(model: string, user: string, { times, down }: Options, now: number): boolean {
    if (times === 0 && down === 0) return true;
    const seen = this.#recall(`${model}\n${user}`, now);
    seen.count += 1;
    return (times === 0 || seen.count <= times) && (down === 0 || now < seen.firstAt + down);
  }

  forget(): void {
    this.#seen.clear();
  }

  #recall(key: string, now: number): Seen {
    const known = this.#seen.get(key);
    if (known !== undefined) return known;
    const oldest = this.#seen.size >= LIMIT ? this.#seen.keys().next() : undefined;
    if (oldest?.done === false) this.#seen.delete(oldest.value);
    const seen = { firstAt: now, count: 0 };
    this.#seen.set(key, seen);
    return seen;
  }
}
