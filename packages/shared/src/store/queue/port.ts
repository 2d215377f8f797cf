import type { BeatReply, DispatchedJob } from '../../domain/dispatch.ts';
import type { JobOutcome } from '../../domain/job-end.ts';
import type { JobData } from '../../domain/request.ts';
import type { Sealed } from '../../domain/seal.ts';
import type { QueueStats } from '../../domain/queue-stats.ts';

/** The state of a job in the queue. `unknown`: removed, or never there. */
export type JobState = 'waiting' | 'active' | 'completed' | 'failed' | 'unknown';

/** How a worker died, and what ends the request that caused it. */
export type WorkerDeath = {
  cause: 'gone' | 'hung';
  /** Milliseconds since its last sign of life. */
  silentMs: number;
  /** Writes the end of a request that killed its workers. The queue fails its job after that. */
  failRequest(id: string): Promise<void>;
};

/** The queues of all shards, as an ingress uses them. The id of a request names its shard. */
export type JobQueue = {
  /** Removes a waiting job. False if a worker holds it, or it is gone. */
  remove(id: string): Promise<boolean>;
  state(id: string): Promise<JobState>;
  /** Whether a failed job failed because its run threw an error; otherwise the queue failed it. */
  runThrew(id: string): Promise<boolean>;
  /** How many jobs wait before this one, from 0; undefined if it does not wait. */
  position(id: string): Promise<number | undefined>;
  /** The same for many ids, in their order, with one command for each shard. */
  positions(ids: readonly string[]): Promise<(number | undefined)[]>;
  stats(now: number): Promise<QueueStats>;
  /** Ends the watch over the deadlines of these requests: `stats` no longer reports them as overdue. */
  unwatchDeadlines(ids: readonly string[]): Promise<void>;
  /** The shards whose queue an operator has paused: workers get no jobs from them. */
  pausedShards(): Promise<readonly number[]>;
  counts(): Promise<{ waiting: number; active: number; completed: number; failed: number }>;
  /**
   * Puts the jobs that a dead worker holds in front of the queue, and those that may have killed it behind the
   * others of their class. Returns how many wait again. It touches only jobs that the worker holds at this moment,
   * so two calls, or two processes, do no harm. Without `death` none of the jobs is suspected.
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
  /** If absent, the run has to seal the log itself. */
  sealed?: Sealed | undefined;
  /** The token of the job's lock: only its holder may end the job. */
  token: string;
  /** Call it when a part of the answer was delivered: the job does not kill its workers. Idempotent. */
  shown?: (() => void) | undefined;
  /** Fires when the lock could not be renewed, or another activation has the job now. */
  lockLost: AbortSignal;
};

/**
 * How an activation ended, for the queue. `jobEnded`: the job has ended with the last line of its log, so the
 * queue has nothing to do. `handed_back`: the job goes to the front of the queue for another worker.
 * `not_yet`: the worker takes no jobs of its model now, and the run did nothing: the job goes back to its
 * position in its class, not in front of all, and its next run has the same number. Skip the model first, or
 * the job comes back at once. `dropped`: this worker no longer holds the job, and does not touch the queue.
 */
export type ActivationOutcome =
  | (JobOutcome & { jobEnded?: boolean })
  | { kind: 'handed_back' }
  | { kind: 'not_yet' }
  | { kind: 'dropped' };

export type ActivationHandler = (activation: Activation) => Promise<ActivationOutcome>;

/** The queue as a worker uses it. */
export type JobConsumer = {
  /** Jobs this worker holds at the moment. */
  readonly held: number;
  /** Sets how many jobs this worker may hold, over all shards. Jobs above the limit continue. 0: it takes none. */
  setConcurrency(places: number): void;
  /**
   * Sets the models that this worker skips: their jobs keep their positions in the queue, and it takes the
   * first job of another model. It takes jobs in front (of a dead worker) whatever their model.
   */
  skip(models: ReadonlySet<string>): void;
  /** Renews all locks at once: after an outage of Redis this worker may have lost some. */
  checkLocks(): void;
  /** Fetches from this shard with several calls in parallel, because `jobs` jobs wait now. */
  fetchBurst(shard: number, jobs: number): void;
  /** Accepts a job that an ingress sent for one of the slots that this worker offers. */
  receive(shard: number, job: DispatchedJob): void;
  /** Accepts the reply of a beat: the numbers of the jobs that were sent to this worker. */
  onBeat(shard: number, known: BeatReply): void;
  /** The subscription that brings jobs was interrupted. */
  onGap(): void;
  /** The shards whose queue an operator has paused: no jobs come from them. */
  pausedShards(): Promise<readonly number[]>;
  /** Takes no more jobs; those that it holds continue. */
  stop(): Promise<void>;
  /** Ends when every handler has returned and the connections are closed. */
  close(): Promise<void>;
};
