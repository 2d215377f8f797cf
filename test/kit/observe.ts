import { keyspace } from '@millrace/shared/store/keys';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { expect } from 'vitest';
import type { Fleet, RoleProcess } from './fleet.ts';
import { latenessSince } from './lateness.ts';
import type { LoggedRequest, Simulator } from '../../apps/simulator/src/index.ts';

/* What a test looks at from outside: the provider's side, the queue, the processes. */

/** `user` in a request's body: how a test knows its requests at the provider. */
export const userOf = ({ body }: LoggedRequest): unknown =>
  typeof body === 'object' && body !== null && 'user' in body ? body.user : undefined;

/** The request with this `user`, as soon as the provider has it. */
export const upstream = (simulator: Simulator, user: string): Promise<LoggedRequest> =>
  simulator.waitFor((request) => userOf(request) === user);

/** How many times the provider was asked with this `user`. */
export const asked = (simulator: Simulator, user: string): number =>
  simulator.requests.filter((request) => userOf(request) === user).length;

/** The provider has seen its client go, at most so many milliseconds after `since` where no process is late. */
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

/** The queue as an operator's tool sees it. Its connection ends with the fleet's Redis. */
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

/** Nothing waits and nothing runs. */
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
