export type MemoryMeter = {
  /**
   * Resolves with whether Redis is below its soft limit. What was measured a moment ago counts while
   * that is so; while it is not, one question at a time goes to Redis for all who ask, so that the
   * first request after it has room is taken.
   */
  hasRoom(): Promise<boolean> | boolean;
};

export type MemoryMeterOptions = {
  /** Bytes in use, and how many there may be: 0 where there is no limit. */
  measure(): Promise<{ used: number; max: number }>;
  /** Share of the maximum, from 0 to 1. */
  softLimit: number;
  onError(error: unknown): void;
  now?(): number;
};

/** Milliseconds that a measurement counts. */
const freshMs = 1000;

export function createMemoryMeter(options: MemoryMeterOptions): MemoryMeter {
  const { measure, softLimit, onError, now = Date.now } = options;
  let room = true;
  let failed = false;
  let measuredAt = -Infinity;
  let measuring: Promise<boolean> | undefined;

  async function ask(): Promise<boolean> {
    try {
      const { used, max } = await measure();
      room = max === 0 || used < max * softLimit;
      failed = false;
    } catch (error) {
      // Whoever needs Redis next is told why it does not answer; a user that may not ask never may.
      if (!failed) onError(error);
      failed = true;
      room = true;
    }
    measuredAt = now();
    measuring = undefined;
    return room;
  }

  return {
    hasRoom() {
      if (room && now() - measuredAt < freshMs) return true;
      measuring ??= ask();
      return room ? true : measuring;
    },
  };
}

/** `INFO memory` as Redis and Valkey write it. */
export function parseMemory(info: string): { used: number; max: number } {
  const field = (name: string) =>
    Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
  return { used: field('used_memory') || 0, max: field('maxmemory') || 0 };
}
