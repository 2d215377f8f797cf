import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';

/** An active job, with the lock token that its holder had in the same moment. */
export type HeldJob = { id: string; token: string };

type QueueKeys = Pick<MinimalQueue, 'toKey'>;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { heldBy: load('held-by'), requeueInFront: load('requeue-in-front') };

/** Jobs in one script: Redis runs it to its end, and everybody else waits. */
const batchSize = 200;

/** The active jobs that Redis says a worker holds. */
export async function heldJobs(
  redis: Redis,
  { toKey }: QueueKeys,
  worker: string,
): Promise<HeldJob[]> {
  const args = [toKey(''), worker];
  const reply = (await runScript(redis, scripts.heldBy, [toKey('active')], args)) as string[];
  const jobs: HeldJob[] = [];
  for (let i = 0; i + 1 < reply.length; i += 2) {
    jobs.push({ id: reply[i] ?? '', token: reply[i + 1] ?? '' });
  }
  return jobs;
}

/**
 * Wakes a worker that is asleep: BullMQ does not when a job with a priority is moved back, and all but
 * those that came without a standing have one.
 */
export async function wake(redis: Redis, qualifiedName: string): Promise<void> {
  await redis.zadd(`${qualifiedName}:marker`, 0, '0');
}

export type RequeueOptions = {
  /** All workers of the shard listen on it. */
  channel?: string;
  /** Jobs that wait again beside these. */
  others?: number;
};

/**
 * Puts jobs in front of the queue, wakes a worker, and summons all of them where a channel is given. Returns
 * how many were moved: not those that are no longer the token's.
 */
export async function requeueInFront(
  redis: Redis,
  { toKey }: QueueKeys,
  jobs: readonly HeldJob[],
  { channel = '', others = 0 }: RequeueOptions = {},
): Promise<number> {
  if (jobs.length + others === 0) return 0;
  const names = ['wait', 'prioritized', 'active', 'stalled', 'marker', 'meta', 'events'];
  const touched = names.map(toKey);
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at === 0 || at < jobs.length; at += batchSize) {
    const batch = jobs.slice(at, at + batchSize).flatMap(({ id, token }) => [id, token]);
    const args = [toKey(''), channel, at === 0 ? others : 0, ...batch];
    calls.push(runScript(redis, scripts.requeueInFront, touched, args));
  }
  const moved = (await Promise.all(calls)) as number[];
  return moved.reduce((sum, count) => sum + count, 0);
}
