export type TakingsOptions = {
  /** Counts them in Redis. */
  took(jobs: number, bytes: number): Promise<void>;
  onError(error: unknown): void;
};

/** Jobs that one shard's fetchers take with BullMQ's own script: those of one turn of the event loop are counted with one command. */
export type Takings = {
  add(bytes: number): void;
  /** So many that were counted were put back: the next ones are not counted, since the counter only rises. */
  spare(jobs: number): void;
  /** Of those that are not to be counted: they are not counted by who asks. So many at most; how many. */
  claimSpared(most: number): number;
};

export function createTakings({ took, onError }: TakingsOptions): Takings {
  let isDue = false;
  let jobs = 0;
  let bytes = 0;
  let spared = 0;

  function flush(): void {
    took(jobs, bytes).catch(onError);
    isDue = false;
    jobs = 0;
    bytes = 0;
  }

  return {
    add(size) {
      if (!isDue) setImmediate(flush);
      isDue = true;
      if (spared > 0) spared -= 1;
      else jobs += 1;
      bytes += size;
    },
    spare(many) {
      spared += many;
    },
    claimSpared(most) {
      const claimed = Math.min(most, spared);
      spared -= claimed;
      return claimed;
    },
  };
}
