import { startFleet } from '../test/kit/fleet.ts';
import type { Fleet, FleetOptions } from '../test/kit/fleet.ts';

export type { Fleet, RoleProcess } from '../test/kit/fleet.ts';

/** Two workers and two ingresses unless it says otherwise; breakers and active checks are on. */
export const openFleet = (options: FleetOptions): Promise<Fleet> =>
  startFleet({ workers: 2, ingresses: 2, health: true, ...options });

/** Runs `work` on a fleet, and closes the fleet however the work ends. */
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
