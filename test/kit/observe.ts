import { keyspace } from '@millrace/shared/store/keys';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { expect } from 'vitest';
import type { Fleet, RoleProcess } from './fleet.ts';
import { latenessSince } from './lateness.ts';
import type { LoggedRequest, Simulator } from '../../apps/simulator/src/index.ts';

/* Views of a test from outside: the provider's side, the queue, the processes. */

/** The `user` in a request's body, by which a test identifies its requests at the provider. */
export const userOf = ({ body }: LoggedRequest): unknown =>
  typeof body === 'object' && body !== null && 'user' in body ? body.user : undefined;

/** The request with this `user`, as soon as the provider has it. */
export const upstream = (simulator: Simulator, user: string): Promise<LoggedRequest> =>
  simulator.waitFor((request) => userOf(request) === user);

/** Number of calls of the provider with this `user`. */
export const asked = (simulator: Simulator, user: string): number =>
  simulator.requests.filter((request) => userOf(request) === user).length;

/** Expects that the provider has seen its client leave, within the limit after `since` plus the measured delays. */
export async function expectClosed(
  simulator: Simulator,
  user: string,
  since: number,
  withinMs = 100,
): Promise<void> {
  const closed = await simulator.waitFor(
    (request) => userOf(request) === user && request.state !== 'open',
  );
  expect(closed.state).toBe('aborted by client');
  const allowed = withinMs + latenessSince(since);
  expect((closed.endedAt ?? Infinity) - since).toBeLessThanOrEqual(allowed);
}

/** The queue as operators' tools see it. Its connection ends with the fleet's Redis. */
export function observeQueue(fleet: Fleet) {
  return createBullQueue({
    redis: fleet.redis.connect(),
    keys: keyspace(),
    shards: 1,
    retentionMs: 3_600_000,
    onError: () => {},
  });
}

export type ObservedQueue = ReturnType<typeof observeQueue>;

/** Expects that no job waits or runs. */
export async function expectEmpty(queue: ObservedQueue): Promise<void> {
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 0, active: 0 });
}

export const isAlive = ({ child }: RoleProcess): boolean =>
  child.exitCode === null && child.signalCode === null;

export function expectAlive(roles: readonly RoleProcess[]): void {
  for (const { child, stderr } of roles) {
    expect(
      { code: child.exitCode, signal: child.signalCode },
      `a process ended by itself: ${stderr().slice(-500)}`,
    ).toEqual({ code: null, signal: null });
  }
}
