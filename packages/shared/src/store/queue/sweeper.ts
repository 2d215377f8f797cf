import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { bullKey } from './bullmq-layout.ts';
import { ttlMs } from './fair-queue.ts';

/**
 * Removes finished jobs after their retention. BullMQ removes them by age only when another job ends, so an
 * idle fleet would keep them for ever, and BullMQ's own keys of a queue never expire.
 */
export type Sweeper = {
  stop(): void;
};

export type SweeperOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** How long finished jobs are kept. */
  retentionMs: number;
  onError(error: unknown): void;
};

const sweep = loadScript(new URL('lua/sweep.lua', import.meta.url));

const { completed, failed, lock: _lock, logs: _logs, ...others } = bullKey;
/** BullMQ's keys of a queue beside its jobs: first those of finished jobs, which the script sweeps. */
const queueKeys = [completed, failed, ...Object.values(others)];
/** Jobs removed by one script: about a millisecond of Redis. */
const batchSize = 200;
/** Sweeps in one retention time, but at least one every `longestPauseMs`. */
const sweepsPerRetention = 10;
const longestPauseMs = 30_000;

/** Any number of sweepers may run in parallel: each removes what is there. */
export function startSweeper(options: SweeperOptions): Sweeper {
  const { redis, keys, shards, retentionMs, onError } = options;
  const pauseMs = Math.min(longestPauseMs, Math.ceil(retentionMs / sweepsPerRetention));
  const stopping = new AbortController();
  const { signal } = stopping;

  async function sweepShard(shard: number): Promise<void> {
    const key = (name: string) => keys.queue(shard, name);
    const touched = queueKeys.map(key);
    for (let removed = batchSize; removed === batchSize && !signal.aborted;) {
      const args = [key(''), Date.now() - retentionMs, batchSize, ttlMs];
      removed = Number(await runScript(redis, sweep, touched, args));
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      for (let shard = 0; shard < shards; shard++) await sweepShard(shard).catch(onError);
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  void run();
  return { stop: () => stopping.abort() };
}
