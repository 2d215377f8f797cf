import type { Config } from '@millrace/shared/config';
import type { RequestMeta } from '@millrace/shared/domain/request';

/*
 * A worker ends a request in time, by its model's timeout and its deadline. During an outage of Redis that
 * end does not arrive, so each ingress also limits the time of its readers by its own clock.
 */

/** How long a reader waits for the end of its request; milliseconds, points in time since the epoch. */
export type ReaderLife = {
  /** When the reader is ended if no attempt has begun. */
  startBy: number;
  /** The most milliseconds from the request's first attempt on. */
  timeoutMs: number;
  deadlineAt: number;
};

/** Milliseconds for the terminal entry that a worker writes at the same time. */
export const graceMs = 2000;

export function readerLife(
  { attached, createdAt, deadlineAt = Infinity, model, alias = model }: RequestMeta,
  { models, limits }: Pick<Config, 'models'> & { limits: WaitLimits },
): ReaderLife {
  // For a model that is not in this ingress' config, the longest timeout of all.
  const known = models[alias] ? [models[alias]] : Object.values(models);
  const timeoutMs = Math.max(0, ...known.map((one) => one.timeoutMs));
  // Admission rejects a request with a client if its estimated wait exceeds `queueWait`.
  const queueMs = attached ? limits.queueWaitMs : limits.queueTtlMs;
  const workerMs = Math.max(0, ...known.map((one) => one.maxWaitMs));
  return { startBy: createdAt + queueMs + workerMs + timeoutMs, timeoutMs, deadlineAt };
}

type WaitLimits = Pick<Config['limits'], 'queueWaitMs' | 'queueTtlMs'>;

/** When the reader is ended. `startedAt`: when it received its first attempt line, by this ingress' clock. */
export function overAt(
  { startBy, timeoutMs, deadlineAt }: ReaderLife,
  startedAt: number | undefined,
): number {
  const end = startedAt === undefined ? startBy : startedAt + timeoutMs;
  return Math.min(end, deadlineAt) + graceMs;
}
