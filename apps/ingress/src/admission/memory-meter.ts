export type MemoryMeter = {
  /**
   * Whether Redis is below its soft limit. Below it, a measurement counts for a second. Above it, each
   * call waits for a new measurement, which concurrent calls share, so that the first request after
   * memory was freed is admitted.
   */
  hasRoom(): Promise<boolean> | boolean;
};

export type MemoryMeterOptions = {
  /** Bytes in use and the maximum, or 0 if there is no limit. */
  measure(): Promise<{ used: number; max: number }>;
  /** Share of the maximum, from 0 to 1. */
  readonly softLimit: number;
  onError(error: unknown): void;
  now?(): number;
};

/** Milliseconds that a measurement stays valid. */
const freshMs = 1000;

export function createMemoryMeter(options: MemoryMeterOptions): MemoryMeter {
  const { measure, onError, now = Date.now } = options;
  let room = true;
  let failed = false;
  let measuredAt = -Infinity;
  let measuring: Promise<boolean> | undefined;

  async function ask(): Promise<boolean> {
    try {
      const { used, max } = await measure();
      room = max === 0 || used < max * options.softLimit;
      failed = false;
    } catch (error) {
      // Not a reason to reject: if Redis is unreachable, the submit fails anyway, and a Redis user may lack
      // the right to INFO.
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
