import type { Priority } from './request.ts';

/** Those of one class who wait. */
export type ClassStats = {
  waiting: number;
  /**
   * By key: how far behind the class's head its last job stands, in steps of weight 1. Only of keys
   * with a job that waits, over all shards (the mean).
   */
  lags: ReadonlyMap<string, number>;
};

/** The queue at one moment, over all shards. */
export type QueueStats = {
  classes: Readonly<Record<Priority, ClassStats>>;
  /** Jobs that go before all classes: handed back, taken from dead workers, just added. */
  front: number;
  active: number;
  /** Jobs that workers took so far: a counter, which may start again. */
  taken: number;
  /** Bodies of those that wait. */
  bytes: number;
  /** Requests whose deadline has passed, named again after a while until they are `struck`. */
  overdue: readonly string[];
  /** Models that workers pass over for now, as their targets are at their limits. */
  skipped: readonly string[];
};
