import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Keyspace } from '@millrace/shared/store/keys';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Logger } from '@millrace/shared/runtime/logger';
import { reaperLeaseMs, startReaper } from '@millrace/shared/store/membership/reaper';
import { createRedisRegistry } from '@millrace/shared/store/membership/redis-registry';
import type { RedisRegistryOptions } from '@millrace/shared/store/membership/redis-registry';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { asFailed, refuse } from '../errors.ts';
import type { Metrics } from '../observe/metrics.ts';

export type ReapersOptions = {
  redis: RedisRegistryOptions['redis'];
  keys: Keyspace;
  shards: number;
  /** The name of this ingress. */
  name: string;
  queue: Pick<JobQueue, 'takeFrom'>;
  log: Pick<StreamLog, 'finish'>;
  metrics: Pick<Metrics, 'workerDied' | 'tookOver' | 'falseAlarm' | 'poisoned'>;
  logger: Logger;
  onError(error: unknown): void;
};

export type Reapers = {
  /** This ingress has queued a request. */
  wake(): void;
  /** A worker may just have died. */
  lookNow(): void;
  stop(): Promise<void>;
};

/** One reaper for each shard: the reaper that holds the shard's lease moves the jobs of dead workers to others. */
export function startReapers(options: ReapersOptions): Reapers {
  const { redis, keys, shards, name, queue, log, metrics, logger, onError } = options;

  /** Ends a request that killed its workers. */
  async function failRequest(shard: number, id: string, worker: string): Promise<void> {
    const line = encodeEntry({ kind: 'failed', data: { ...poisoned, at: Date.now() } });
    const { kind } = await log.finish(id, line, 'failed');
    if (kind !== 'finished') return;
    metrics.poisoned(shard);
    logger.error({ request: id, worker, shard }, 'a request killed its workers: it is failed');
  }

  const start = (shard: number) =>
    startReaper({
      registry: createRedisRegistry({ redis, keys, shard, reaper: name, leaseMs: reaperLeaseMs }),
      async takeFrom(worker, death) {
        const judged = death && {
          ...death,
          failRequest: (id: string) => failRequest(shard, id, worker),
        };
        return queue.takeFrom(shard, worker, judged);
      },
      events: {
        onDeath(worker, cause) {
          metrics.workerDied(cause, shard);
          logger.warn({ worker, cause, shard }, 'a worker is dead: others continue its requests');
        },
        onTakeover(worker, jobs) {
          metrics.tookOver(jobs, shard);
          logger.info({ worker, jobs, shard }, 'requests of a dead worker were moved to others');
        },
        onFalseAlarm(worker, cause) {
          metrics.falseAlarm(cause, shard);
          logger.warn({ worker, cause, shard }, 'a worker that was declared dead is back');
        },
        onError,
      },
    });
  const reapers = Array.from({ length: shards }, (_, shard) => start(shard));
  // Views from before a lost connection prove nothing: Redis may have been unreachable for all workers.
  const doubt = () => {
    for (const reaper of reapers) reaper.reset();
  };
  redis.on('close', doubt);
  return {
    wake() {
      for (const reaper of reapers) reaper.wake();
    },
    lookNow() {
      for (const reaper of reapers) reaper.checkNow();
    },
    async stop() {
      redis.off('close', doubt);
      await Promise.all(reapers.map((reaper) => reaper.stop()));
    },
  };
}

const poisoned = asFailed(refuse('poisoned_request'));
