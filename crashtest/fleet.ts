import { startFleet } from '../test/harness/fleet.ts';
import type { Fleet, FleetOptions } from '../test/harness/fleet.ts';

export type { Fleet, RoleProcess } from '../test/harness/fleet.ts';

/**
 * Two workers and two ingresses unless it says otherwise. Rejects when one of them does not start, and
 * has ended the others by then: nothing is left behind that would keep this process alive.
 */
export async function openFleet(options: FleetOptions): Promise<Fleet> {
  const { workers = 2, ingresses = 2 } = options;
  const fleet = await startFleet({ ...options, workers: 0, ingresses: 0 });
  const started = await Promise.allSettled([
    ...Array.from({ length: workers }, () => fleet.addWorker()),
    ...Array.from({ length: ingresses }, () => fleet.addIngress()),
  ]);
  const failed = started.find((one) => one.status === 'rejected');
  if (!failed) return fleet;
  await fleet.close();
  throw failed.reason;
}

/** A fleet for as long as the work on it takes, however that ends. */
export async function withFleet<T>(
  options: FleetOptions,
  work: (fleet: Fleet) => Promise<T>,
): Promise<T> {
  const fleet = await openFleet(options);
  try {
    return await work(fleet);
  } finally {
    await fleet.close();
  }
}

/** Aliases from whatever describes them. */
export const mapValues = <T>(
  from: Readonly<Record<string, T>>,
  map: (value: T) => unknown,
): Record<string, unknown> =>
  Object.fromEntries(Object.entries(from).map(([name, value]) => [name, map(value)]));
