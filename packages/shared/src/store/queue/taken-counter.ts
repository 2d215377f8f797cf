export type TakenCounterOptions = {
  /** Counts them in Redis. */
  count(jobs: number, bytes: number): Promise<void>;
  onError(error: unknown): void;
};

/** Jobs that one shard's fetchers take with BullMQ's own script: those of one turn of the event loop are counted with one command. */
export type TakenCounter = {
  add(bytes: number): void;
  /** So many that were counted were put back: the next ones are not counted, since the counter only rises. */
  credit(jobs: number): void;
  /** Of those that are not to be counted: they are not counted by who asks. So many at most; how many. */
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
