import type { TargetHold } from '@millrace/shared/store/target-holds/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createMemoryGossip } from '@millrace/shared/store/gossip/memory-gossip';
import { policy } from './breaker.fixture.ts';
import { createHealth } from './health.ts';
import { followHolds } from './holds.ts';
import type { Holds } from './holds.ts';

// What a worker makes of an operator's order to open a target. That it survives restarts is in test/system/operators.test.ts.

const target = { provider: 'openai', model: 'gpt-4o' };
const hold: TargetHold = { by: 'ops', at: 1_800_000_000_000 };

let stored: Map<string, TargetHold>;
let read: () => Promise<ReadonlyMap<string, TargetHold>>;
let errors: unknown[];
let holds: Holds;
beforeEach(async () => {
  vi.useFakeTimers({ now: hold.at });
  stored = new Map();
  errors = [];
  read = async () => new Map(stored);
  holds = await followHolds({
    store: { read: () => read() },
    onError: (error) => errors.push(error),
  });
});
afterEach(() => {
  holds.close();
  vi.useRealTimers();
});

function healthOf(bus = createMemoryGossip().join('w')) {
  return createHealth({
    bus,
    worker: 'w',
    breakerOf: () => policy,
    holds,
    onError: (error) => errors.push(error),
  });
}

test('a target that an operator has opened is not asked, whatever its breaker and its successes say', async () => {
  const health = healthOf();
  for (let i = 0; i < 5; i += 1) health.started(target)({ kind: 'ok', firstTokenMs: 10 });
  stored.set('openai/gpt-4o', hold);
  await holds.look();
  expect(health.admit(target)).toBe('no');
  expect(await health.claimProbe(target)).toBe(false);
  expect([health.stateOf(target), health.successRate(target)]).toEqual(['open', 0]);
  expect(health.snapshot()).toMatchObject({
    held: ['openai/gpt-4o'],
    targets: [{ state: 'open', since: hold.at, held: hold }],
  });
  health.close();
});

test('a probe that is claimed while an operator opens the target does not start', async () => {
  const bus = createMemoryGossip().join('w');
  const claim = Promise.withResolvers<void>();
  const health = healthOf({
    ...bus,
    claim: (...asked) => claim.promise.then(() => bus.claim(...asked)),
  });
  for (let i = 0; i < 5; i += 1) {
    health.started(target)({ kind: 'fault', fault: { code: 'upstream_reset', message: 'no' } });
  }
  await vi.advanceTimersByTimeAsync(policy.probeIntervalMs);
  expect(health.admit(target)).toBe('ask');
  const claiming = health.claimProbe(target);
  stored.set('openai/gpt-4o', hold);
  await holds.look();
  claim.resolve();
  expect(await claiming).toBe(false);
  expect(health.counters().probes.started).toBe(0);
  health.close();
});

test('clients are not asked to try it again each second', async () => {
  stored.set('openai/gpt-4o', hold);
  await holds.look();
  const health = healthOf();
  expect(health.nextTryAt(target)).toBe(Date.now() + 30_000);
  health.close();
});

test('requests that wait are woken when it is closed', async () => {
  stored.set('openai/gpt-4o', hold);
  await holds.look();
  const health = healthOf();
  let woken = 0;
  health.onAvailable(() => (woken += 1));
  stored.clear();
  await holds.look();
  expect(woken).toBe(1);
  expect(health.admit(target)).toBe('yes');
  health.close();
});

test('a message that was lost delays an order by some seconds only', async () => {
  stored.set('openai/gpt-4o', hold);
  await vi.advanceTimersByTimeAsync(5000);
  expect(holds.get('openai/gpt-4o')).toEqual(hold);
});

test('while Redis is away the orders that are known stay', async () => {
  stored.set('openai/gpt-4o', hold);
  await holds.look();
  read = async () => {
    throw new Error('away');
  };
  await holds.look();
  expect(holds.get('openai/gpt-4o')).toEqual(hold);
  expect(errors).toHaveLength(1);
});
