import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { fail, fault, pass, startMembers, statesOf, succeed, target } from './health.fixture.ts';

const soonMs = 60;

/** Two workers, one of which has opened the target a probe interval ago. */
async function halfOpen(rules = {}) {
  const { fleet, join } = startMembers(rules);
  const [one, two] = [await join('one'), await join('two')];
  fail(one, 5);
  await pass(1000);
  return { fleet, join, one, two };
}

describe('a probe', () => {
  test('is made by one worker of all that want to', async () => {
    const { one, two } = await halfOpen();
    expect([one, two].map(({ health }) => health.admit(target))).toEqual(['ask', 'ask']);
    const claims = [one, one, two].map(({ health }) => health.claimProbe(target));
    expect(one.health.admit(target)).toBe('no');
    expect(one.health.nextTryAt(target)).toBeGreaterThan(Date.now());
    expect(await Promise.all(claims)).toEqual([true, false, false]);
    await pass(2);
    expect([one, two].map(({ health }) => health.admit(target))).toEqual(['no', 'no']);
  });

  test('that brings a first token lets the others through little by little, then all', async () => {
    const { join, one, two } = await halfOpen();
    const strict = await join('strict', undefined, 0.5);
    await one.health.claimProbe(target);
    const tell = one.health.started(target);
    tell({ kind: 'first-token', ms: 100 });
    await pass(2);
    expect(statesOf(one, two, strict)).toEqual(['recovering', 'recovering', 'recovering']);
    expect([two, strict].map(({ health }) => health.admit(target))).toEqual(['yes', 'no']);
    tell({ kind: 'ok', firstTokenMs: 100 });
    await pass(1400);
    expect(strict.health.admit(target)).toBe('yes');
    await pass(1600);
    expect(statesOf(one, two, strict)).toEqual(['closed', 'closed', 'closed']);
    expect(one.health.counters()).toMatchObject({
      transitions: { open: 1, 'half-open': 1, recovering: 1, closed: 1 },
      probes: { started: 1, ok: 1, failed: 0, void: 0 },
    });
    expect(two.health.counters().transitions).toEqual({
      open: 0,
      'half-open': 0,
      recovering: 0,
      closed: 0,
    });
  });

  test('that fails keeps all away for longer', async () => {
    const { one, two } = await halfOpen();
    await two.health.claimProbe(target);
    two.health.started(target)(fault('upstream_overloaded'));
    const failedAt = Date.now();
    await pass(2);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
    expect(one.health.nextTryAt(target)).toBe(failedAt + 2000);
    await pass(2000);
    expect(one.health.admit(target)).toBe('ask');
  });

  test('that was cancelled says nothing, and the next one keeps its distance', async () => {
    const { one, two } = await halfOpen();
    await one.health.claimProbe(target);
    const claimedAt = Date.now();
    const tell = one.health.started(target);
    await pass(200);
    tell({ kind: 'void' });
    await pass(2);
    expect(two.health.nextTryAt(target)).toBe(claimedAt + 1000);
    await pass(800);
    expect(await two.health.claimProbe(target)).toBe(true);
  });

  test('that never starts is given up', async () => {
    const { one, two } = await halfOpen();
    await one.health.claimProbe(target);
    await pass(1002);
    expect(await two.health.claimProbe(target)).toBe(true);
    expect(one.health.counters().probes).toMatchObject({ started: 1, void: 1 });
  });

  test('of a worker that died is replaced', async () => {
    const { fleet, one, two } = await halfOpen();
    await one.health.claimProbe(target);
    one.health.started(target);
    await pass(2);
    fleet.disconnect('one');
    one.health.close();
    await pass(4000);
    expect(two.health.admit(target)).toBe('no');
    await pass(2000);
    expect(await two.health.claimProbe(target)).toBe(true);
  });

  test('that takes long keeps its right', async () => {
    const { one, two } = await halfOpen();
    await one.health.claimProbe(target);
    const tell = one.health.started(target);
    await pass(30_000);
    expect(two.health.admit(target)).toBe('ask');
    expect(await two.health.claimProbe(target)).toBe(false);
    expect(two.health.admit(target)).toBe('no');
    tell({ kind: 'ok' });
    await pass(2);
    expect(statesOf(one, two)).toEqual(['recovering', 'recovering']);
  });

  test('waits for the provider’s own time', async () => {
    const { join } = startMembers();
    const one = await join('one');
    fail(one, 5, { retryAfterMs: 20_000 });
    await pass(19_998);
    expect(one.health.admit(target)).toBe('no');
    await pass(2);
    expect(one.health.admit(target)).toBe('ask');
  });
});

describe('a target that recovers', () => {
  test('opens again with a failure, for longer', async () => {
    const { one, two } = await halfOpen();
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(100);
    fail(two, 1);
    const failedAt = Date.now();
    await pass(2);
    expect(statesOf(one, two)).toEqual(['open', 'open']);
    expect(one.health.nextTryAt(target)).toBe(failedAt + 2000);
  });

  test('does not by a call that began before it was given up', async () => {
    const { join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const old = [one.health.started(target), two.health.started(target)];
    fail(one, 5);
    await pass(1000);
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(100);
    for (const tell of old) tell(fault('upstream_idle_timeout'));
    await pass(100);
    expect(statesOf(one, two)).toEqual(['recovering', 'recovering']);
    expect(one.health.inFlight(target)).toBe(0);
  });

  test('does not either at a worker that heard of it all only afterwards', async () => {
    const { fleet, join } = startMembers();
    const [one, two] = [await join('one'), await join('two')];
    const old = two.health.started(target);
    fleet.disconnect('two');
    fail(one, 5);
    await pass(1000);
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(10);
    fleet.reconnect();
    await pass(10);
    old(fault('upstream_idle_timeout'));
    await pass(10);
    expect(two.changes.map(({ to }) => to)).toEqual(['recovering']);
    expect(statesOf(one, two)).toEqual(['recovering', 'recovering']);
  });

  test('starts with a new window', async () => {
    const { one } = await halfOpen();
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    succeed(one, 3);
    await pass(3000);
    fail(one, 4);
    expect(one.health.snapshot().targets[0]).toMatchObject({
      state: 'closed',
      window: { calls: 4, errors: 4 },
      usualRate: 0,
    });
  });

  test('leaves no fact behind', async () => {
    const { fleet, one } = await halfOpen();
    const witness = fleet.join('witness');
    const count = async () => {
      const outcome = await witness.states();
      return outcome.kind === 'states' && outcome.states.size;
    };
    expect(await count()).toBe(1);
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(3000 + soonMs);
    expect(await count()).toBe(0);
  });

  test('leaves none either when the worker that saw it recover has died', async () => {
    const { fleet, join, one, two } = await halfOpen();
    await one.health.claimProbe(target);
    one.health.started(target)({ kind: 'ok', firstTokenMs: 5 });
    await pass(10);
    one.health.close();
    await pass(5000);
    expect(statesOf(two, await join('late'))).toEqual(['closed', 'closed']);
    await pass(soonMs);
    const outcome = await fleet.join('witness').states();
    expect(outcome.kind === 'states' && outcome.states.size).toBe(0);
  });
});

test('those who wait are told when a target may be asked again', async () => {
  const { join } = startMembers();
  const [one, two] = [await join('one'), await join('two')];
  fail(one, 5);
  await pass(2);
  const told = vi.fn<() => void>();
  const stop = two.health.onAvailable(told);
  await pass(990);
  expect(told).not.toHaveBeenCalled();
  await pass(10);
  expect(told).toHaveBeenCalledTimes(1);
  await one.health.claimProbe(target);
  one.health.started(target)({ kind: 'first-token', ms: 1 });
  await pass(2);
  expect(told).toHaveBeenCalledTimes(2);
  await pass(3000);
  // At every tenth of the ramp.
  expect(told.mock.calls.length).toBeGreaterThanOrEqual(12);
  expect(told.mock.calls.length).toBeLessThanOrEqual(13);
  stop();
  fail(one, 5);
  await pass(1010);
  expect(told.mock.calls.length).toBeLessThanOrEqual(13);
});

test('whatever three workers do, one of them probes at a time, and not more often than may be', async () => {
  const acts = fc.array(
    fc.record({
      worker: fc.integer({ min: 0, max: 2 }),
      act: fc.constantFrom('ask', 'ask', 'ask', 'ok', 'failed', 'void', 'cut', 'mend'),
      afterMs: fc.integer({ min: 0, max: 900 }),
    }),
    { maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(acts, async (steps) => {
      const { fleet, join } = startMembers();
      const members = [await join('one'), await join('two'), await join('three')];
      for (const member of members) fail(member, 5);
      await pass(2);
      const ends: ((end: 'ok' | 'failed' | 'void') => void)[] = [];
      let isCut = false;
      let startedAt = -Infinity;
      const wrong: string[] = [];
      for (const { worker, act, afterMs } of steps) {
        const health = members[worker]?.health;
        if (act === 'ask' && health?.admit(target) === 'ask' && (await health.claimProbe(target))) {
          if (health.stateOf(target) === 'half-open') {
            // Workers that cannot hear each other are a fleet each.
            if (!isCut && ends.length > 0) wrong.push('two at once');
            if (!isCut && Date.now() - startedAt < 1000) wrong.push('too soon');
            startedAt = Date.now();
            const tell = health.started(target);
            ends.push((end) => tell(end === 'failed' ? fault('upstream_reset') : { kind: end }));
          }
        } else if (act === 'ok' || act === 'failed' || act === 'void') ends.shift()?.(act);
        else if (act === 'cut' && !isCut && ends.length === 0 && worker === 0) {
          isCut = true;
          fleet.disconnect();
        } else if (act === 'mend' && isCut) {
          for (const end of ends.splice(0)) end('void');
          fleet.reconnect();
          await pass(soonMs + 1000);
          isCut = false;
        }
        await pass(afterMs);
      }
      for (const { health } of members) health.close();
      expect(wrong).toEqual([]);
      expect(members.flatMap(({ errors }) => errors)).toEqual([]);
    }),
    { numRuns: 100 },
  );
});
