import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Taken } from '@millrace/shared/store/quota/port';

/** One grant: it was made at some moment between the two, in milliseconds. */
export type Grant = { asked: number; granted: number };

/**
 * Takers that ask as fast as they are allowed to: after a refusal as late as it says, and no later
 * than 20 ms. Ends when `until` says so.
 */
export async function takeAll(
  takers: readonly (() => Promise<Taken>)[],
  { until }: { until: (grants: readonly Grant[]) => boolean },
): Promise<Grant[]> {
  const grants: Grant[] = [];
  await Promise.all(
    takers.map(async (take) => {
      while (!until(grants)) {
        const asked = performance.now();
        const taken = await take();
        if (taken.kind === 'yes') grants.push({ asked, granted: performance.now() });
        else await sleep(Math.min(20, taken.retryAfterMs));
      }
    }),
  );
  return grants;
}

/** The most grants that were certainly made within one stretch of that length. */
export function mostWithin(grants: readonly Grant[], ms: number): number {
  return Math.max(
    0,
    ...grants.map(
      ({ asked: from }) =>
        grants.filter(({ asked, granted }) => asked >= from && granted < from + ms).length,
    ),
  );
}
