import { UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../domain/request.ts';
import { queueName } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import type { ActivationHandler, JobConsumer } from './port.ts';

export type BullConsumerOptions = {
  /** For the commands; each shard's blocking read gets a connection of its own from it. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Jobs at once, over all shards. */
  concurrency: number;
  onError: (error: Error) => void;
};

/**
 * Seconds that BullMQ's blocking read waits before it looks by itself: the longest that a job waits
 * whose wake-up was lost with a connection.
 */
const drainDelaySeconds = 1;

/** Milliseconds before BullMQ tries a failed fetch again. Its default of 15 s would outlast a Redis restart. */
const retryDelayMs = 250;

/** Takes jobs from every shard and gives each activation to the handler. */
export function startBullConsumer(
  options: BullConsumerOptions,
  handle: ActivationHandler,
): JobConsumer {
  const { redis, keys, shards, name, concurrency, onError } = options;
  /** By job id: BullMQ never gives one worker the same job twice at a time. */
  const locks = new Map<string, AbortController>();
  let held = 0;
  let stopping: Promise<void> | undefined;

  async function process(job: Job<JobData>, token?: string): Promise<string> {
    const id = job.id ?? '';
    // BullMQ may still pop a job while it stops: it goes straight back to the others.
    if (stopping) return handBack(job, token);
    const lock = new AbortController();
    locks.set(id, lock);
    held += 1;
    try {
      const outcome = await handle({
        id,
        number: job.attemptsStarted,
        data: job.data,
        lockLost: lock.signal,
      });
      if (outcome.kind === 'completed') return outcome.summary;
      if (outcome.kind === 'failed') throw new UnrecoverableError(outcome.reason);
      if (outcome.kind === 'handed_back') return await handBack(job, token);
      // Tells BullMQ to leave the job as it is.
      throw new WaitingError();
    } finally {
      held -= 1;
      if (locks.get(id) === lock) locks.delete(id);
    }
  }

  const workers = Array.from({ length: shards }, (_, shard) => {
    const worker = new Worker<JobData, string>(queueName, process, {
      connection: redis,
      prefix: keys.tag(shard),
      name,
      concurrency: Math.max(1, Math.ceil(concurrency / shards)),
      drainDelay: drainDelaySeconds,
      runRetryDelay: retryDelayMs,
    });
    worker.on('error', onError);
    worker.on('lockRenewalFailed', (ids: string[]) => {
      for (const id of ids) locks.get(id)?.abort(new Error('the lock of the job was lost'));
    });
    return worker;
  });

  /** BullMQ's close takes no more jobs, keeps renewing the locks of those it holds, and ends with them. */
  const stop = () => {
    stopping ??= Promise.all(workers.map((worker) => worker.close())).then(() => undefined);
    return stopping;
  };

  return {
    get held() {
      return held;
    },
    async stop() {
      stop().catch(onError);
    },
    close: stop,
  };
}

/** Puts the job in front of the queue. The token makes Redis refuse when the job is not ours any more. */
async function handBack(job: Job<JobData>, token: string | undefined): Promise<never> {
  if (token !== undefined) await job.moveToWait(token);
  throw new WaitingError();
}
