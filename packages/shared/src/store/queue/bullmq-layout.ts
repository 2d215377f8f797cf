/*
 * BullMQ's private data in Redis that our scripts depend on. `test/system/bullmq-layout.test.ts` compares it
 * with what BullMQ writes, and fails for another version: then read what changed in BullMQ's scripts, and
 * update these names and the scripts that replace BullMQ's own (add-job, activate-job, end-job, take,
 * requeue-*, put-back, dequeue, sweep).
 */

/** The version of BullMQ for which the scripts were written. */
export const bullVersion = '6.7.0';

/** Keys of a queue, behind its prefix; `lock` and `logs` follow the key of a job. */
export const bullKey = {
  /** List of waiting jobs without a priority, and those that go before all others. */
  wait: 'wait',
  /** Sorted set of waiting jobs with a priority: ours all have one. */
  prioritized: 'prioritized',
  active: 'active',
  delayed: 'delayed',
  completed: 'completed',
  failed: 'failed',
  /** Lists that BullMQ keeps and we leave empty. */
  paused: 'paused',
  repeat: 'repeat',
  /** Set of jobs whose lock the next stalled check examines. */
  stalled: 'stalled',
  /** Sorted set on which idle workers sleep. */
  marker: 'marker',
  events: 'events',
  meta: 'meta',
  /** Counter of job ids. */
  id: 'id',
  /** Counter of priorities. */
  priorityCounter: 'pc',
  lock: ':lock',
  logs: ':logs',
} as const;

/** Fields of the hash of a job. */
export const bullJob = {
  name: 'name',
  data: 'data',
  options: 'opts',
  timestamp: 'timestamp',
  delay: 'delay',
  priority: 'priority',
  attemptsStarted: 'ats',
  attemptsMade: 'atm',
  /** The worker that took it last. */
  processedBy: 'pb',
  processedOn: 'processedOn',
  finishedOn: 'finishedOn',
  /** Why it fails when it is taken next. */
  deferredFailure: 'defa',
  returnValue: 'returnvalue',
  failedReason: 'failedReason',
  stackTrace: 'stacktrace',
} as const;

/** Fields of the queue's `meta`. */
export const bullMeta = {
  paused: 'paused',
  concurrency: 'concurrency',
  /** Jobs of a rate limit. */
  max: 'max',
  maxLenEvents: 'opts.maxLenEvents',
} as const;
