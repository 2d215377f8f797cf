import type { BeatReply, DispatchedJob } from '../../domain/dispatch.ts';
import type { JobOutcome } from '../../domain/job-end.ts';
import type { JobData } from '../../domain/request.ts';
import type { Sealed } from '../../domain/seal.ts';
import type { QueueStats } from '../../domain/queue-stats.ts';

/** Where a job is, in the queue's own words. `unknown`: removed, or never there. */
export type JobState = 'waiting' | 'active' | 'completed' | 'failed' | 'unknown';

/** How a worker died, and what is done with a job that is found to be the cause. */
export type WorkerDeath = {
  cause: 'gone' | 'hung';
  /** Milliseconds since its last sign of life. */
  silentMs: number;
  /** Writes the end of a request that killed its workers; its job is failed after that. */
  failRequest(id: string): Promise<void>;
};

/** Ingress side: every shard's queue behind one face. The shard is the one that the id names. */
export type JobQueue = {
  /** Takes a waiting job out. False when a worker holds it, or it is gone. */
  remove(id: string): Promise<boolean>;
  state(id: string): Promise<JobState>;
  /** How many jobs stand before it, from 0; undefined when it does not wait. */
  position(id: string): Promise<number | undefined>;
  /** The same of many, with one command for each shard, in their order. */
  positions(ids: readonly string[]): Promise<(number | undefined)[]>;
  stats(now: number): Promise<QueueStats>;
  /** These requests are no longer to be named as overdue. */
  unwatchDeadlines(ids: readonly string[]): Promise<void>;
  /** Those whose queue an operator has paused: workers get no jobs of it. */
  pausedShards(): Promise<readonly number[]>;
  counts(): Promise<{ waiting: number; active: number; completed: number; failed: number }>;
  /**
   * Puts the jobs that a dead worker holds in front of the queue again, and behind others those that may
   * have killed it; returns how many wait again. Only what it holds at this moment is touched, so calling
   * it twice, or from two processes, does no harm. Without `death` none of its jobs is to blame.
   */
  takeFrom(shard: number, worker: string, death?: WorkerDeath): Promise<number>;
  close(): Promise<void>;
};

/** One activation of a job by this worker. */
export type Activation = {
  id: string;
  /**
   * BullMQ's `attemptsStarted`: raised by Redis at each activation, kept when a job is moved back; one that
   * ended as `not_yet` does not count.
   */
  number: number;
  data: JobData;
  /** Absent: the run is to seal the log itself. */
  sealed?: Sealed | undefined;
  /** Of the job's lock: only who has it may end the job. */
  token: string;
  /** To be called when a part of its answer was shown: it does not kill its workers. Idempotent. */
  shown?: (() => void) | undefined;
  /** Fires when the lock could not be renewed, or another activation has the job now. */
  lockLost: AbortSignal;
};

/**
 * How an activation ended, for the queue. `jobEnded`: the job has ended with the last line of its log, and
 * nothing is left to do in the queue. `handed_back`: the job goes to the front of the queue for
 * another worker. `not_yet`: its model takes none now, and the run did nothing: the job goes back to where
 * it stood in its class, not in front of all, and its next run has the same number. Avoid the model first,
 * or the job comes again at once. `dropped`: it is not ours any more; the queue is left as it is.
 */
export type ActivationOutcome =
  | (JobOutcome & { jobEnded?: boolean })
  | { kind: 'handed_back' }
  | { kind: 'not_yet' }
  | { kind: 'dropped' };

export type ActivationHandler = (activation: Activation) => Promise<ActivationOutcome>;

/** Worker side. */
export type JobConsumer = {
  /** Jobs this worker holds at the moment. */
  readonly held: number;
  /** Jobs that this worker may hold from now on, over all shards; those above it are not ended. 0: it takes none. */
  setConcurrency(places: number): void;
  /**
   * Models of which it takes no jobs for now: they keep their places in the queue, and it takes the first
   * of the others. Jobs in front (taken back from a dead worker) are taken whatever their model.
   */
  skip(models: ReadonlySet<string>): void;
  /** Asks at once whether the jobs are still ours: after a time without Redis they may not be. */
  checkLocks(): void;
  /** So many jobs wait in this shard at this moment: fetches them side by side, not in turn. */
  fetchBurst(shard: number, jobs: number): void;
  /** A job that this worker was sent for one of the places that it offers. */
  receive(shard: number, job: DispatchedJob): void;
  /** What Redis knows, at a beat, of the jobs that it has sent to this worker. */
  onBeat(shard: number, known: BeatReply): void;
  /** The subscription that brings jobs was away. */
  onGap(): void;
  /** Those whose queue an operator has paused: no jobs of it come. */
  pausedShards(): Promise<readonly number[]>;
  /** Takes no more jobs; those it holds go on. */
  stop(): Promise<void>;
  /** Ends when every handler has returned and the connections are closed. */
  close(): Promise<void>;
};
