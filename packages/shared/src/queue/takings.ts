export type TakingsOptions = {
  /** Counts them in Redis. */
  took(jobs: number, bytes: number): Promise<void>;
  onError(error: unknown): void;
};

/** What one shard's fetchers take: those of one turn of the event loop are counted with one command. */
export type Takings = {
  add(bytes: number): void;
  /** One that was counted was put back: the next one is not counted, since the counter only rises. */
  spare(): void;
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
    spare() {
      spared += 1;
    },
  };
}
