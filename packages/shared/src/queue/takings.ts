export type TakingsOptions = {
  /** Counts them in Redis. */
  took(jobs: number, bytes: number): Promise<void>;
  onError(error: unknown): void;
};

/** What one shard's fetchers take: those of one turn of the event loop are counted with one command. */
export type Takings = { add(bytes: number): void };

export function createTakings({ took, onError }: TakingsOptions): Takings {
  let jobs = 0;
  let bytes = 0;

  function flush(): void {
    took(jobs, bytes).catch(onError);
    jobs = 0;
    bytes = 0;
  }

  return {
    add(size) {
      if (jobs === 0) setImmediate(flush);
      jobs += 1;
      bytes += size;
    },
  };
}
