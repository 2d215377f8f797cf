import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import { loadScript, runScript } from '../script.ts';
import { bullKey } from './bullmq-layout.ts';

/** An active job, with the lock token that its holder had in the same moment. */
export type HeldJob = { id: string; token: string };

type QueueKeys = Pick<MinimalQueue, 'toKey'>;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { heldBy: load('held-by'), requeueInFront: load('requeue-in-front') };

/** Jobs in one script: Redis serves no other client until it ends. */
const batchSize = 200;

/** The active jobs that a worker holds according to Redis. */
export async function heldJobs(
  redis: Redis,
  { toKey }: QueueKeys,
  worker: string,
): Promise<HeldJob[]> {
  const args = [toKey(''), worker];
  const reply = (await runScript(redis, scripts.heldBy, [toKey(bullKey.active)], args)) as string[];
  const jobs: HeldJob[] = [];
  for (let i = 0; i + 1 < reply.length; i += 2) {
    jobs.push({ id: reply[i] ?? '', token: reply[i + 1] ?? '' });
  }
  return jobs;
}

/** Wakes a worker that sleeps: BullMQ does not do so when a job with a priority moves back. */
export async function wake(redis: Redis, qualifiedName: string): Promise<void> {
  await redis.zadd(`${qualifiedName}:marker`, 0, '0');
}

export type RequeueOptions = {
  /** A channel to which all workers of the shard are subscribed, to inform them how many jobs wait. */
  channel?: string;
  /** Further jobs that wait again. */
  others?: number;
};

/**
 * Puts jobs in front of the queue, wakes a worker, and notifies all workers if a channel is given. Returns
 * how many it moved: it does not touch jobs that the token no longer holds.
 */
export async function requeueInFront(
  redis: Redis,
  { toKey }: QueueKeys,
  jobs: readonly HeldJob[],
  { channel = '', others = 0 }: RequeueOptions = {},
): Promise<number> {
  if (jobs.length + others === 0) return 0;
  const names = [
    bullKey.wait,
    bullKey.prioritized,
    bullKey.active,
    bullKey.stalled,
    bullKey.marker,
    bullKey.meta,
    bullKey.events,
  ];
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
