import { Job } from 'bullmq';
import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import { loadScript, runScript } from '../log/redis-scripts.ts';
import { isNotOurs } from './lock-errors.ts';

/** An active job, with the lock token that its holder had in the same moment. */
export type HeldJob = { id: string; token: string };

const heldBy = loadScript(new URL('lua/held-by.lua', import.meta.url));

/** The active jobs that Redis says a worker holds. */
export async function heldJobs(
  redis: Redis,
  queue: MinimalQueue,
  worker: string,
): Promise<HeldJob[]> {
  const keys = [queue.toKey('active')];
  const reply = (await runScript(redis, heldBy, keys, [queue.toKey(''), worker])) as string[];
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

/**
 * Puts a job in front of the queue, for a worker to find that is awake, or is woken then: 1, or 0 when somebody else was faster. Never without the token:
 * BullMQ would skip its check.
 */
export async function takeBack(queue: MinimalQueue, { id, token }: HeldJob): Promise<number> {
  if (token === '' || token === '0') return 0;
  try {
    await new Job(queue, '', {}, {}, id).moveToWait(token);
    return 1;
  } catch (error) {
    if (isNotOurs(error)) return 0;
    throw error;
  }
}
