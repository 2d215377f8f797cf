import { describe, expect, test } from 'vitest';
import { fail, fault, pass, startMembers, statesOf, succeed, target } from './health.fixture.ts';

const soonMs = 60;

describe('what one worker counts', () => {
  test('the others count too: in flight, failures, first tokens', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const calls = [one.health.started(target), one.health.started(target)];
    two.health.started(target);
    await pass(soonMs);
    expect([one, two].map(({ health }) => health.inFlight(target))).toEqual([3, 3]);
    calls[0]?.({ kind: 'ok', firstTokenMs: 200 });
    calls[1]?.(fault('upstream_reset'));
    two.health.started(target)({ kind: 'ok', firstTokenMs: 400 });
    await pass(soonMs);
    for (const { health } of [one, two]) {
      expect(health.inFlight(target)).toBe(1);
      expect(health.firstTokenMs(target)).toBeCloseTo(300, 0);
      expect(health.snapshot()).toMatchObject({
        workers: 2,
        targets: [{ ...target, state: 'closed', window: { calls: 3, errors: 1 }, inFlight: 1 }],
      });
    }
  });

  test('is told within 50 ms of a change, and a failure at once', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    await pass(200);
    one.health.started(target);
    await pass(2);
    expect(two.health.inFlight(target)).toBe(1);
    one.health.started(target);
    await pass(40);
    expect(two.health.inFlight(target)).toBe(1);
    await pass(10);
    expect(two.health.inFlight(target)).toBe(2);
    fail(one, 1);
    await pass(3);
    expect(two.health.snapshot().targets[0]?.window).toEqual({ calls: 1, errors: 1 });
  });

  test('counts no more when it is not heard for three seconds', async () => {
    const { fleet, join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    one.health.started(target);
    await pass(500);
    fleet.disconnect('one');
    await pass(2400);
    expect(two.health.inFlight(target)).toBe(1);
    await pass(1000);
    expect(two.health.inFlight(target)).toBe(0);
    expect(two.health.snapshot().workers).toBe(1);
    fleet.reconnect();
    await pass(soonMs);
    expect(two.health.inFlight(target)).toBe(1);
  });

  test('is not lost with a message, nor counted twice', async () => {
    const { fleet, join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    await pass(1000);
    fleet.disconnect('one');
    succeed(one, 10);
    fail(one, 2);
    await pass(200);
    fleet.reconnect();
    await pass(2500);
    expect(two.health.snapshot().targets[0]?.window).toEqual({ calls: 12, errors: 2 });
  });

  test('before it was heard the first time is not recent for those who come later', async () => {
    const { join } = startMembers();
    const one = await join('one');
    fail(one, 4);
    const two = await join('two');
    await pass(1500);
    fail(one, 1);
    await pass(soonMs);
    expect(two.health.snapshot().targets[0]?.window.calls).toBeLessThanOrEqual(1);
  });
});

test('the last word of a worker that leaves is what it has in flight then', async () => {
  const { join } = startMembers();
  const [one, two] = [await join('one'), await join('two')];
  const tell = one.health.started(target);
  await pass(soonMs);
  tell({ kind: 'void' });
  one.health.close();
  await pass(1);
  expect(two.health.inFlight(target)).toBe(0);
  const { sent } = one.health.counters().pulses;
  one.health.started(target)({ kind: 'void' });
  await pass(2000);
  expect(one.health.counters().pulses.sent).toBe(sent);
});

describe('what never counts', () => {
  test.each([
    ['a cancel', { kind: 'void' } as const],
    ['a fault that is the request’s', fault('context_length_exceeded')],
    ['a call that the model wrote wrongly', fault('upstream_unusable_output')],
    ['a connection that had been idle', fault('upstream_connection_stale')],
    ['our own bound', fault('upstream_pool_exhausted')],
    ['a loss that another request tells of', fault('upstream_reset', { isEcho: true })],
    ['a machine without files', fault('local_resources_exhausted')],
    ['a key that is at its limit', fault('upstream_rate_limited', { retryAfterMs: 30_000 })],
  ])('%s', async (_name, outcome) => {
    const { join } = startMembers();
    const one = await join('one');
    for (let i = 0; i < 50; i++) one.health.started(target)(outcome);
    const { window, inFlight, state } = one.health.snapshot().targets[0] ?? {};
    expect({ window, inFlight, state }).toEqual({
      window: { calls: 0, errors: 0 },
      inFlight: 0,
      state: 'closed',
    });
  });

  test('a second outcome of one call', async () => {
    const { join } = startMembers();
    const one = await join('one');
    const tell = one.health.started(target);
    for (let i = 0; i < 9; i++) tell(fault('upstream_reset'));
    expect(one.health.snapshot().targets[0]?.window).toEqual({ calls: 1, errors: 1 });
    expect(one.health.inFlight(target)).toBe(0);
  });
});

describe('a target opens', () => {
  test('for all workers as soon as one of them has seen enough', async () => {
    const { join } = startMembers();
    const members = [await join('one'), await join('two'), await join('three')];
    const [one, two] = members as [(typeof members)[0], (typeof members)[0]];
    fail(one, 5);
    expect(one.health.admit(target)).toBe('no');
    await pass(2);
    expect(statesOf(...members)).toEqual(['open', 'open', 'open']);
    expect(two.health.admit(target)).toBe('no');
    const reason = { code: 'upstream_server_error', message: 'no' };
    expect(two.changes).toMatchObject([
      { target, from: 'closed', to: 'open', byThisWorker: false, fault: reason },
    ]);
    // Also at one that has not seen it, with when to look again.
    expect(two.health.snapshot().targets[0]).toMatchObject({
      state: 'open',
      lastFault: reason,
      nextProbeAt: expect.any(Number),
    });
    expect(members.map(({ health }) => health.counters().transitions.open)).toEqual([1, 0, 0]);
  });

  test('by failures in a row that no worker has seen alone', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    fail(one, 3);
    await pass(10);
    fail(two, 1);
    await pass(10);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
    fail(two, 1);
    await pass(10);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });

  test('not when another worker’s call succeeds in between', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    fail(one, 4);
    await pass(10);
    succeed(two, 1);
    await pass(soonMs);
    fail(one, 4);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
  });

  test('by their rate in the whole fleet', async () => {
    const { join } = startMembers({ failures: 100 });
    const [one, two] = [await join('one'), await join('two')];
    succeed(one, 17);
    await pass(soonMs);
    fail(two, 3);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });

  test('to the same state everywhere when two decide at once', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    fail(one, 5, { retryAfterMs: 20_000 });
    fail(two, 5, { retryAfterMs: 40_000 });
    await pass(soonMs);
    expect(one.health.nextTryAt(target)).toBe(two.health.nextTryAt(target));
    const late = await join('three');
    await pass(soonMs);
    expect(late.health.nextTryAt(target)).toBe(one.health.nextTryAt(target));
    expect(one.errors).toEqual([]);
  });

  test('also by the word of a worker whose clock is behind', async () => {
    const { join } = startMembers();
    const hourMs = 3_600_000;
    const ahead = await join('ahead', undefined, 0, () => Date.now() + hourMs);
    fail(ahead, 5);
    await pass(1000);
    await ahead.health.claimProbe(target);
    ahead.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(3100);
    const late = await join('late');
    await pass(1100);
    expect(statesOf(ahead, late)).toEqual(['closed', 'closed']);
    fail(late, 5, { retryAfterMs: 20_000 });
    await pass(2);
    expect(ahead.changes.at(-1)).toMatchObject({ to: 'open', byThisWorker: false });
  });

  test('and a worker that starts later knows it', async () => {
    const { join } = startMembers({ probeIntervalMs: 60_000 });
    const one = await join('one');
    fail(one, 5);
    await pass(soonMs);
    one.health.close();
    await pass(10_000);
    const late = await join('late');
    expect(late.health.admit(target)).toBe('no');
    expect(late.health.nextTryAt(target)).toBe(one.health.nextTryAt(target));
  });

  test('not where its breaker is off, and the others keep their fact', async () => {
    const { join, policy } = startMembers({ probeIntervalMs: 60_000 });
    const one = await join('one');
    fail(one, 5);
    await pass(soonMs);
    const careless = await join('careless', { ...policy, enabled: false });
    fail(careless, 50);
    await pass(2000);
    expect(careless.health.admit(target)).toBe('yes');
    const late = await join('late');
    expect(statesOf(one, careless, late)).toEqual(['open', 'closed', 'open']);
  });
});

test('what fails while a target is not asked does not become usual', async () => {
  const { join } = startMembers({ probeIntervalMs: 120_000 });
  const one = await join('one');
  fail(one, 5);
  for (let i = 0; i < 20; i++) {
    await pass(5000);
    one.health.checked(target, 'failed');
  }
  expect(one.health.snapshot().targets[0]).toMatchObject({ state: 'open', usualRate: 0 });
});

describe('while nothing shared can be reached', () => {
  test('each worker goes by what it sees itself, and both agree afterwards', async () => {
    const { fleet, join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    await pass(soonMs);
    fleet.disconnect();
    fail(one, 5);
    await pass(500);
    expect(statesOf(one, two)).toEqual(['open', 'closed']);
    fleet.reconnect();
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
    expect(one.health.counters().pulses.dropped).toBeGreaterThan(0);
  });

  test('a target still comes back', async () => {
    const { fleet, join } = startMembers();
    const one = await join('one');
    fleet.disconnect();
    fail(one, 5);
    await pass(1000);
    expect(await one.health.claimProbe(target)).toBe(true);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 10 });
    expect(statesOf(one)).toEqual(['recovering']);
    await pass(3000);
    expect(statesOf(one)).toEqual(['closed']);
    fleet.reconnect();
    await pass(2000);
    expect(statesOf(await join('late'))).toEqual(['closed']);
  });
});

describe('a row of failures', () => {
  /** The first calls of `one` stream, and are told of before `two` begins to fail. */
  async function streaming() {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const streams = Array.from({ length: 3 }, () => one.health.started(target));
    for (const tell of streams) tell({ kind: 'first-token', ms: 100 });
    await pass(soonMs);
    return { one, two, streams };
  }

  test('that one worker tells of alone opens nothing while others have calls there', async () => {
    const { one, two, streams } = await streaming();
    fail(two, 10);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
    // Neither are they hurt by it.
    for (const tell of streams) tell({ kind: 'ok' });
    fail(two, 5);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
  });

  test('that two workers tell of opens it for all', async () => {
    const { one, two } = await streaming();
    fail(two, 4);
    await pass(soonMs);
    fail(one, 1);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });

  test('of the only worker that has calls there opens it, and so it does when the others are long ago', async () => {
    const { one, two, streams } = await streaming();
    for (const tell of streams) tell({ kind: 'ok' });
    await pass(29_000);
    fail(two, 5);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
    await pass(2000);
    fail(two, 1);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });

  test('of one worker alone counts by its rate', async () => {
    const { one, two } = await streaming();
    fail(two, 20);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });

  test('ends with a first token, wherever it comes', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const late = one.health.started(target);
    fail(one, 4);
    await pass(soonMs);
    late({ kind: 'first-token', ms: 100 });
    await pass(soonMs);
    fail(two, 4);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
    fail(one, 1);
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
  });
});

describe('a worker that joins while a target is broken', () => {
  test('takes it for dead until it hears of a success', async () => {
    const { join, policy } = startMembers();
    const one = await join('one');
    fail(one, 20);
    const two = await join('two');
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
    expect(two.health.successRate(target)).toBe(0);
    await pass(policy.probeIntervalMs);
    expect(await one.health.claimProbe(target)).toBe(true);
    succeed(one, 1);
    await pass(soonMs);
    expect(two.health.stateOf(target)).toBe('recovering');
    expect(two.health.successRate(target)).toBeGreaterThan(0);
  });
});

describe('a worker that stood still', () => {
  test('blames no target for the faults that it sees when it wakes, in the fleet neither', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const calls = Array.from({ length: 40 }, () => one.health.started(target));
    one.wasLate(true);
    for (const ended of calls) ended(fault('upstream_idle_timeout'));
    await pass(soonMs);
    expect(statesOf(one, two)).toEqual(['closed', 'closed']);
    expect(one.health.snapshot().targets[0]).toMatchObject({ window: { calls: 0 }, inFlight: 0 });
    expect(two.health.inFlight(target)).toBe(0);
  });

  test('takes its own time for no first token of the target', async () => {
    const { join } = startMembers();
    const one = await join('one');
    one.wasLate(true);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 2500 });
    expect(one.health.firstTokenMs(target)).toBeUndefined();
    expect(one.health.snapshot().targets[0]?.window).toEqual({ calls: 1, errors: 0 });
  });

  test('has a probe that failed meanwhile made again', async () => {
    const { join, policy } = startMembers();
    const one = await join('one');
    fail(one, 5);
    await pass(policy.probeIntervalMs);
    expect(await one.health.claimProbe(target)).toBe(true);
    const ended = one.health.started(target);
    one.wasLate(true);
    ended(fault('upstream_reset'));
    expect(one.health.counters().probes).toMatchObject({ failed: 0, void: 1 });
  });

  test('counts what it sees later', async () => {
    const { join } = startMembers();
    const one = await join('one');
    one.wasLate(true);
    fail(one, 5);
    one.wasLate(false);
    expect(statesOf(one)).toEqual(['closed']);
    fail(one, 5);
    expect(statesOf(one)).toEqual(['open']);
  });
});
