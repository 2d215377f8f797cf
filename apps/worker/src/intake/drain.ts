import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/runtime/logger';
import type { JobConsumer } from '@millrace/shared/store/queue/port';
import type { Runs } from '../run/runs.ts';

export type DrainOptions = {
  /** Milliseconds in which streams may end by themselves. */
  withinMs: number;
  consumer: Pick<JobConsumer, 'close'>;
  runs: Pick<Runs, 'stopAll'>;
  /** Removes the worker from the fleet's registries. */
  leave(): Promise<unknown>;
  logger: Pick<Logger, 'warn'>;
};

/** Milliseconds to hand jobs back after a drain, and again to leave the registries. */
export const lastWordsMs = 2000;

/** Takes no more jobs, lets streams end in time, and hands the others back. */
export async function drain({ withinMs, consumer, runs, leave, logger }: DrainOptions) {
  const closed = consumer.close();
  const handOver = setTimeout(() => runs.stopAll('shutdown'), withinMs);
  // Without Redis nothing can be handed back. The worker then stays registered, so that the reaper finds its
  // jobs when Redis is back.
  const inTime = await Promise.race([closed, sleep(withinMs + lastWordsMs, 'late' as const)]);
  if (inTime === 'late') logger.warn('Redis does not answer: leaving without handing jobs back');
  else await Promise.race([leave(), sleep(lastWordsMs)]);
  clearTimeout(handOver);
}
