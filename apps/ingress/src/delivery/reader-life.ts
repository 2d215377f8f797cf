import type { Config } from '@millrace/shared/config';
import type { RequestMeta } from '@millrace/shared/domain/request';

/*
 * A worker ends a request in time, by its model's timeout and its deadline. Where Redis is away, or takes
 * no writes, that end does not come, so each ingress also keeps the time for its readers by its own clock.
 */

/** How long a reader waits for the end of its request; milliseconds, points in time since the epoch. */
export type ReaderLife = {
  /** The end, while no attempt has begun. */
  startBy: number;
  /** What the request may take from its first attempt on. */
  timeoutMs: number;
  deadlineAt: number;
};

/** Milliseconds in which the worker's own end of the request, at the same time, still arrives. */
export const graceMs = 2000;

export function readerLife(
  { attached, createdAt, deadlineAt = Infinity, model }: RequestMeta,
  { models, limits }: Pick<Config, 'models'> & { limits: WaitLimits },
): ReaderLife {
  // Of a model that this ingress' config does not have, the longest of those that it has.
  const known = models[model] ? [models[model]] : Object.values(models);
  const timeoutMs = Math.max(0, ...known.map((one) => one.timeoutMs));
  // A request with a client behind it was only taken where it was to leave the queue that soon.
  const queueMs = attached ? limits.queueWaitMs : limits.queueTtlMs;
  const workerMs = Math.max(0, ...known.map((one) => one.maxWaitMs));
  return { startBy: createdAt + queueMs + workerMs + timeoutMs, timeoutMs, deadlineAt };
}

type WaitLimits = Pick<Config['limits'], 'queueWaitMs' | 'queueTtlMs'>;

/** When the reader is given up. `startedAt`: when it was first given an attempt, by this ingress' clock. */
export function overAt(
  { startBy, timeoutMs, deadlineAt }: ReaderLife,
  startedAt: number | undefined,
): number {
  const end = startedAt === undefined ? startBy : startedAt + timeoutMs;
  return Math.min(end, deadlineAt) + graceMs;
}
