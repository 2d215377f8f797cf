import type { Priority } from './request.ts';

/** The waiting jobs of one class. */
export type ClassStats = {
  waiting: number;
  /**
   * For each API key with a waiting job: how far its last job is behind the head of the class, in steps of
   * weight 1. The mean over all shards.
   */
  lags: ReadonlyMap<string, number>;
};

/** The queue at one moment, over all shards. */
export type QueueStats = {
  classes: Readonly<Record<Priority, ClassStats>>;
  /** Jobs in front of all classes: handed back, or taken from dead workers. */
  front: number;
  active: number;
  /** Jobs that workers took so far: a counter, which may start again from 0. */
  taken: number;
  /** Bytes of the bodies of waiting requests. */
  bytes: number;
  /** Waiting requests whose deadline has passed. Reported again after two seconds, until `unwatchDeadlines`. */
  overdue: readonly string[];
  /** Models that workers skip now because their targets are at their limits. */
  skipped: readonly string[];
};
