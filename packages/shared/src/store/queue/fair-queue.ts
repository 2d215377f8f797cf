import type { Redis } from 'ioredis';
import { priorities } from '../../domain/request.ts';
import type { Priority, QueueStanding } from '../../domain/request.ts';
import type { ClassStats, QueueStats } from '../../domain/queue-stats.ts';
import { shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { bullKey } from './bullmq-layout.ts';

/*
 * Waiting jobs are ordered by their score in BullMQ's prioritized set. BullMQ takes its plain list first
 * (jobs whose lock ran out), then the lowest score.
 *
 *   2^32           taken from a dead worker, or handed back by a worker
 *   2^32 + n       added by hand, with BullMQ's own score
 *   2^33           in front for once: the share of the lower classes, and jobs behind those of skipped models
 *   2^50 … 2^51    high: a virtual finish time, from 0 at the start of the band
 *   2^51 … +2^50   normal
 *     …            low
 *
 * Scores are exact up to 2^53.
 */

/** BullMQ's priority of every job: BullMQ makes scores from 2^32 on of it when it moves a job itself. */
export const jobPriority = 1;
export const frontScore = 2 ** 33;
export const firstBand = 2 ** 50;
export const bandWidth = 2 ** 50;
/** Virtual time that one job of weight 1 takes; room for 2^30 of them before a class has none waiting. */
const step = 2 ** 20;
/** One in this many jobs is of the next class, and one in this many of those is of the class behind it. */
export const shareEvery = 10;
/** Milliseconds: longer than any request may wait. */
export const ttlMs = 31 * 24 * 3600 * 1000;
/** Milliseconds that a caller has to end an overdue request before the next caller gets it. */
const overdueAgainMs = 2000;
/** Jobs that one command scans for the first one whose model is not skipped: about a millisecond of Redis. */
export const maxScanned = 1000;
/** Seconds for which a model counts as skipped: workers that skip it report it 20 times a second. */
const skippedSeconds = 2;
/** Ids in one script: Redis serves no other client until it ends. */
const batchSize = 500;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = {
  dequeue: load('dequeue'),
  onTaken: load('on-taken'),
  stats: load('stats'),
  positions: load('positions'),
};

export type FairQueue = {
  /** Removes a waiting job, and gives its key the turn back. False if it does not wait in the fair queue. */
  dequeue(id: string, standing: QueueStanding): Promise<boolean>;
  /** Counts jobs that a worker took, with the bytes of their bodies. `skipped`: models that the worker skips. */
  onTaken(shard: number, jobs: number, bytes: number, skipped?: ReadonlySet<string>): Promise<void>;
  /** `stats` reports this request once its deadline (milliseconds since the epoch) has passed. */
  watchDeadline(id: string, deadlineAt: number): Promise<void>;
  stats(shards: number, now: number): Promise<QueueStats>;
  positions(ids: readonly string[]): Promise<(number | undefined)[]>;
  unwatchDeadlines(ids: readonly string[]): Promise<void>;
};

export function createFairQueue({ redis, keys }: { redis: Redis; keys: Keyspace }): FairQueue {
  /** The keys that determine the position of a job. */
  const keysOfJob = (shard: number, id: string, priority: Priority): string[] => [
    keys.queue(shard, bullKey.prioritized),
    keys.finishes(shard, priority),
    keys.queueCounts(shard),
    keys.deadlines(shard),
    keys.queue(shard, id),
  ];

  async function shardStats(shard: number, now: number): Promise<ShardStats> {
    const touched = [
      ...[bullKey.prioritized, bullKey.wait, bullKey.active].map((name) => keys.queue(shard, name)),
      keys.queueCounts(shard),
      keys.deadlines(shard),
      keys.skippedModels(shard),
      ...priorities.map((priority) => keys.finishes(shard, priority)),
    ];
    const args = [now, firstBand, bandWidth, overdueAgainMs, skippedSeconds];
    return parseStats((await runScript(redis, scripts.stats, touched, args)) as RawStats);
  }

  return {
    async dequeue(id, { priority, key, weight, bytes }) {
      const shard = shardOf(id);
      const touched = keysOfJob(shard, id, priority);
      const args = [id, bandStart(priority), bandWidth, stepOf(weight), key, bytes];
      return (await runScript(redis, scripts.dequeue, touched, args)) === 1;
    },

    async watchDeadline(id, deadlineAt) {
      await redis.zadd(keys.deadlines(shardOf(id)), deadlineAt, id);
    },

    async onTaken(shard, jobs, bytes, skipped = new Set()) {
      const touched = [keys.queue(shard, bullKey.prioritized), keys.queueCounts(shard)];
      const bands = [firstBand, bandWidth, priorities.length];
      const others = [maxScanned, keys.queue(shard), ...skipped];
      const args = [jobs, bytes, shareEvery, frontScore, ...bands, ttlMs, ...others];
      await runScript(redis, scripts.onTaken, touched, args);
    },

    async stats(shards, now) {
      const all = Array.from({ length: shards }, (_, shard) => shardStats(shard, now));
      return sumStats(await Promise.all(all));
    },

    async positions(ids) {
      const found = new Map<string, number>();
      const ask = async (shard: number, some: readonly string[]) => {
        const touched = [keys.queue(shard, bullKey.prioritized), keys.queue(shard, bullKey.wait)];
        const reply = (await runScript(redis, scripts.positions, touched, some)) as number[];
        for (const [i, position] of reply.entries()) {
          if (position >= 0) found.set(some[i] ?? '', position);
        }
      };
      await Promise.all([...batches(ids)].map(([shard, some]) => ask(shard, some)));
      return ids.map((id) => found.get(id));
    },

    async unwatchDeadlines(ids) {
      const removals = [...batches(ids)].map(([shard, some]) =>
        redis.zrem(keys.deadlines(shard), ...some),
      );
      await Promise.all(removals);
    },
  };
}

/** Virtual time that one job of a key of this weight takes. */
export const stepOf = (weight: number): number => Math.ceil(step / weight);

/** The score at which the band of a class begins. */
export const bandStart = (priority: Priority): number =>
  firstBand + priorities.indexOf(priority) * bandWidth;

/** Splits ids by shard, and into batches of `batchSize`. */
function* batches(ids: readonly string[]): Generator<[number, string[]]> {
  for (const [shard, some] of Map.groupBy(ids, shardOf)) {
    for (let at = 0; at < some.length; at += batchSize) {
      yield [shard, some.slice(at, at + batchSize)];
    }
  }
}

/** The reply of lua/stats.lua: numbers that may be large come as text. */
type RawClass = [waiting: number, head: string, finishes: string[]];
type RawStats = [
  front: number,
  active: number,
  taken: string,
  bytes: string,
  overdue: string[],
  avoided: string[],
  ...classes: RawClass[],
];

type ShardStats = Omit<QueueStats, 'classes'> & { classes: ClassStats[] };

function parseStats([
  before,
  active,
  taken,
  bytes,
  overdue,
  skipped,
  ...classes
]: RawStats): ShardStats {
  return {
    front: before,
    active,
    taken: Number(taken),
    bytes: Number(bytes),
    overdue,
    skipped,
    classes: classes.map(([waiting, head, finishes]) => {
      const lags = new Map<string, number>();
      for (let i = 0; i + 1 < finishes.length; i += 2) {
        const lag = (Number(finishes[i + 1]) - Number(head)) / step;
        if (lag >= 0) lags.set(finishes[i] ?? '', lag);
      }
      return { waiting, lags };
    }),
  };
}

function sumStats(shards: readonly ShardStats[]): QueueStats {
  const total = (of: (look: ShardStats) => number) =>
    shards.reduce((all, look) => all + of(look), 0);
  const classes = priorities.map((priority, i): [Priority, ClassStats] => {
    const lags = new Map<string, number>();
    for (const { classes: some } of shards) {
      for (const [key, lag] of some[i]?.lags ?? []) {
        lags.set(key, (lags.get(key) ?? 0) + lag / shards.length);
      }
    }
    return [priority, { waiting: total((look) => look.classes[i]?.waiting ?? 0), lags }];
  });
  return {
    classes: Object.fromEntries(classes) as Record<Priority, ClassStats>,
    front: total((look) => look.front),
    active: total((look) => look.active),
    taken: total((look) => look.taken),
    // A worker may subtract the bytes of a job before its placing adds them.
    bytes: Math.max(
      0,
      total((look) => look.bytes),
    ),
    overdue: shards.flatMap((look) => look.overdue),
    skipped: [...new Set(shards.flatMap((look) => look.skipped))],
  };
}
