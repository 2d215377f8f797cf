import type { Redis } from 'ioredis';
import { readJsonObject } from '../../domain/json.ts';
import { parseRequestId, priorities } from '../../domain/request.ts';
import type { JobData, Priority } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { bullKey, bullMeta } from './bullmq-layout.ts';
import { bandStart, bandWidth } from './fair-queue.ts';

/* The waiting requests as operators see them: read when one looks, and never by the data plane. */

export type WaitingJob = {
  id: string;
  /** Jobs of its shard before it, from 0. */
  position: number;
  /** Undefined if the job is damaged, or was taken while the list was read. */
  data: JobData | undefined;
  createdAt: number;
};

export type WaitingList = {
  /** The first of each shard, in the order in which workers take them: by position, then by age. */
  jobs: readonly WaitingJob[];
  /** All that wait. */
  waiting: number;
  /** All that wait, by class; those in front of all classes (handed back by a worker) are not among them. */
  classes: Readonly<Record<Priority, number>>;
  pausedShards: readonly number[];
};

/** Jobs in one script, as Redis serves no other client until it ends: about a millisecond. */
const batchSize = 250;

const script = loadScript(new URL('lua/waiting.lua', import.meta.url));

/** Reads at most `limit` jobs over all shards. Their counts are exact. */
export async function readWaitingList(
  { redis, keys, shards }: { redis: Redis; keys: Keyspace; shards: number },
  limit: number,
): Promise<WaitingList> {
  const perShard = Math.ceil(limit / shards);
  const all = await Promise.all(
    Array.from({ length: shards }, (_, shard) => readShard({ redis, keys, shard }, perShard)),
  );
  const total = (of: (one: ShardList) => number) => all.reduce((sum, one) => sum + of(one), 0);
  const classes = priorities.map((name, i) => [name, total((one) => one.classes[i] ?? 0)] as const);
  const jobs = all.flatMap((one) => one.jobs);
  return {
    jobs: jobs.sort((a, b) => a.position - b.position || a.createdAt - b.createdAt).slice(0, limit),
    waiting: total((one) => one.waiting),
    classes: Object.fromEntries(classes) as Record<Priority, number>,
    pausedShards: all.flatMap(({ isPaused }, shard) => (isPaused ? [shard] : [])),
  };
}

type ShardList = {
  jobs: WaitingJob[];
  waiting: number;
  classes: number[];
  isPaused: boolean;
};

type Shard = { redis: Redis; keys: Keyspace; shard: number };

async function readShard({ redis, keys, shard }: Shard, limit: number): Promise<ShardList> {
  const wait = keys.queue(shard, bullKey.wait);
  const prioritized = keys.queue(shard, bullKey.prioritized);
  const countOf = (name: Priority) => {
    const from = bandStart(name);
    return redis.zcount(prioritized, from, from + bandWidth - 1);
  };
  const [inList, inOrder, isPaused, ...classes] = await Promise.all([
    redis.llen(wait),
    redis.zcard(prioritized),
    redis.hexists(keys.queue(shard, bullKey.meta), bullMeta.paused),
    ...priorities.map(countOf),
  ]);
  const waiting = inList + inOrder;
  const jobs: WaitingJob[] = [];
  for (let from = 0; from < Math.min(limit, waiting); from += batchSize) {
    const most = Math.min(batchSize, limit - from);
    const args = [keys.queue(shard), from, most];
    const reply = (await runScript(redis, script, [prioritized, wait], args)) as string[];
    for (let i = 0; i < reply.length; i += 2) {
      jobs.push(waitingJob(reply[i] ?? '', { text: reply[i + 1] ?? '', position: from + i / 2 }));
    }
    if (reply.length < 2 * most) break;
  }
  return { jobs, waiting, classes, isPaused: isPaused === 1 };
}

function waitingJob(
  id: string,
  { text, position }: { text: string; position: number },
): WaitingJob {
  const data = readJsonObject(text);
  const isJob = typeof data?.['model'] === 'string' && Array.isArray(data['targets']);
  return {
    id,
    position,
    data: isJob ? (data as JobData) : undefined,
    createdAt: parseRequestId(id)?.createdAt ?? 0,
  };
}
