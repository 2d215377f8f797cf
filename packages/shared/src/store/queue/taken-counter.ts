export type TakenCounterOptions = {
  /** Counts jobs in Redis, with the bytes of their bodies. */
  count(jobs: number, bytes: number): Promise<void>;
  onError(error: unknown): void;
};

/** Counts jobs that one shard's fetchers took with BullMQ's own script, with one command for each turn of the event loop. */
export type TakenCounter = {
  add(bytes: number): void;
  /** `jobs` counted jobs went back: as many of the next ones are not counted, because the counter only rises. */
  credit(jobs: number): void;
  /** Uses up to `most` of the credit and returns the amount: the caller does not count that many jobs. */
  useCredit(most: number): number;
};

export function createTakenCounter({ count, onError }: TakenCounterOptions): TakenCounter {
  let isDue = false;
  let jobs = 0;
  let bytes = 0;
  let credited = 0;

  function flush(): void {
    count(jobs, bytes).catch(onError);
    isDue = false;
    jobs = 0;
    bytes = 0;
  }

  return {
    add(size) {
      if (!isDue) setImmediate(flush);
      isDue = true;
      if (credited > 0) credited -= 1;
      else jobs += 1;
      bytes += size;
    },
    credit(many) {
      credited += many;
    },
    useCredit(most) {
      const claimed = Math.min(most, credited);
      credited -= claimed;
      return claimed;
    },
  };
}
