import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/runtime/logger';
import type { JobConsumer } from '@millrace/shared/store/queue/port';
import type { Runs } from '../run/runs.ts';

export type DrainOptions = {
  /** Milliseconds that the streams have to end by themselves. */
  withinMs: number;
  consumer: Pick<JobConsumer, 'close'>;
  runs: Pick<Runs, 'stopAll'>;
  /** Takes the worker off the lists of the fleet. */
  leave(): Promise<unknown>;
  logger: Pick<Logger, 'warn'>;
};

/** Milliseconds for handing jobs back after a drain, and again for leaving Redis. */
export const lastWordsMs = 2000;

/** Takes no more jobs, lets the streams end within their time, and hands the others back. */
export async function drain({ withinMs, consumer, runs, leave, logger }: DrainOptions) {
  const closed = consumer.close();
  const handOver = setTimeout(() => runs.stopAll('shutdown'), withinMs);
  // Without Redis nothing can be handed back: the reaper finds the jobs when it is there, because
  // the name stays on the list.
  const inTime = await Promise.race([closed, sleep(withinMs + lastWordsMs, 'late' as const)]);
  if (inTime === 'late') logger.warn('Redis does not answer: leaving without handing back');
  else await Promise.race([leave(), sleep(lastWordsMs)]);
  clearTimeout(handOver);
}
