import { describe, expect, it } from 'vitest';
import { fault, setUp, target, wanting } from './waiting.fixture.ts';

describe('requests that wait', () => {
  it('go when a target may be asked: one, then two, then four, first come first', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(5000);
    for (const name of 'abcdefgh') join(name);
    await clock.pass(4999);
    expect(log).toEqual([]);
    await clock.pass(1);
    expect(log).toEqual(['a retry']);
    await clock.pass(20);
    expect(log).toEqual(['a retry', 'b retry', 'c retry']);
    await clock.pass(20);
    expect(log.length).toBe(7);
    await clock.pass(20);
    expect(log.at(-1)).toBe('h retry');
    expect(clock.timers()).toBe(0);
  });

  it('are not woken further while those that went come back', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(1000);
    const first = join('a');
    for (const name of 'bcde') join(name);
    await clock.pass(1000);
    closeFor(3000);
    void first.wait();
    await clock.pass(2999);
    expect(log).toEqual(['a retry']);
    await clock.pass(1);
    // It has kept its position at the front.
    expect(log).toEqual(['a retry', 'a retry']);
  });

  it('go one at a time again when one of those that went comes back, though it looks open', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(1000);
    for (const name of 'ab') join(name);
    const third = join('c');
    for (const name of 'defghij') join(name);
    await clock.pass(1020);
    expect(log).toEqual(['a retry', 'b retry', 'c retry']);
    void third.wait();
    await clock.pass(20);
    expect(log.slice(3)).toEqual(['c retry']);
  });

  it('that come back at once are let go at a pace, not in a circle', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(0);
    const { wait, outcome } = join('a');
    await outcome;
    const again = async (): Promise<void> => {
      if ((await wait()).kind === 'retry') await again();
    };
    const circle = again();
    await clock.pass(100);
    expect(log.length).toBeLessThanOrEqual(6);
    await clock.pass(60_000);
    await circle;
  });

  it('go at once when they hear that a target is there', async () => {
    const { clock, waiting, opens, log, join } = setUp();
    opens.set('m', undefined);
    join('a');
    await clock.pass(500);
    opens.set('m', clock.now());
    waiting.wake();
    await clock.pass(0);
    expect(log).toEqual(['a retry']);
  });

  it('are looked after every second where nobody knows when', async () => {
    const { clock, opens, log, join } = setUp();
    opens.set('m', undefined);
    join('a');
    await clock.pass(2500);
    opens.set('m', 0);
    await clock.pass(499);
    expect(log).toEqual([]);
    await clock.pass(1);
    expect(log).toEqual(['a retry']);
  });

  it('let smaller ones go first for a while when they were too large for what was left', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(0);
    const large = join('large');
    await large.outcome;
    void large.wait({ retryAfterMs: 60_000 });
    await clock.pass(100);
    join('small');
    await clock.pass(4800);
    expect(log).toEqual(['large retry', 'small retry']);
    await clock.pass(100);
    expect(log.slice(2)).toEqual(['large retry']);
  });

  it('go at once when another target is there than the one they were too large for', async () => {
    const { clock, waiting, log, join, closeFor } = setUp();
    closeFor(0);
    const large = join('large');
    await large.outcome;
    void large.wait({ retryAfterMs: 60_000 });
    await clock.pass(1000);
    expect(log.length).toBe(1);
    waiting.wake();
    await clock.pass(0);
    expect(log.length).toBe(2);
  });

  it('of one model know nothing of another', async () => {
    const { clock, waiting, log, join, closeFor } = setUp();
    closeFor(1000, 'x');
    closeFor(9000, 'y');
    join('a', { request: wanting('y') }, 'y');
    join('b', { request: wanting('x') }, 'x');
    expect(waiting.count('y')).toBe(1);
    await clock.pass(1000);
    expect(log).toEqual(['b retry']);
  });

  it('can tell whether others came before them to the same target', () => {
    const { join, closeFor } = setUp();
    closeFor(1000);
    const first = join('a');
    const { waiter } = join('b');
    expect(waiter.isBehind(target('m'))).toBe(true);
    expect(waiter.isBehind(target('other'))).toBe(false);
    expect(first.waiter.isBehind(target('m'))).toBe(false);
  });

  it('are not in the way of those behind while they could not go themselves', async () => {
    const { join, closeFor } = setUp();
    closeFor(0);
    const large = join('large');
    await large.outcome;
    void large.wait({ retryAfterMs: 60_000 });
    expect(join('small').waiter.isBehind(target('m'))).toBe(false);
  });

  it('hear at the latest after a second of what opened sooner than was thought', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(60_000);
    join('a');
    await clock.pass(1500);
    closeFor(0);
    await clock.pass(500);
    expect(log).toEqual(['a retry']);
  });
});

describe('a request that waits', () => {
  it('is turned away when its patience is over, with the time when a target may be asked', async () => {
    const { clock, waiting, join, closeFor } = setUp();
    closeFor(40_000);
    const { outcome } = join('a');
    await clock.pass(30_000);
    expect(fault(await outcome)).toMatchObject({
      code: 'no_target_available',
      message:
        'No target of the model can be asked now: p/m is at its limit of requests or tokens.',
      retryAfterMs: 10_000,
    });
    expect([waiting.count(), clock.timers()]).toEqual([0, 0]);
  });

  it('is turned away with the provider’s reason where all of its targets rest because of that', async () => {
    const { clock, limits, broken, join, closeFor } = setUp();
    const limit = {
      code: 'upstream_rate_limited',
      message: 'Slow down.',
      httpStatus: 429,
    } as const;
    closeFor(60_000);
    closeFor(50_000, 'other');
    const turnedAway = async () => {
      const { outcome } = join('a', { request: wanting('m', 'other'), maxWaitMs: 1000 });
      await clock.pass(1000);
      return fault(await outcome);
    };
    limits.set('m', { ...limit, retryAfterMs: 90_000 });
    // The other one is full by a limit of our own.
    expect(await turnedAway()).toMatchObject({ code: 'no_target_available', retryAfterMs: 49_000 });
    limits.set('other', { ...limit, message: 'Slower.' });
    expect(await turnedAway()).toEqual({ ...limit, message: 'Slower.', retryAfterMs: 48_000 });
    broken.add('m');
    expect(await turnedAway()).toMatchObject({ code: 'no_target_available', retryAfterMs: 47_000 });
  });

  it('is never told to come back within less than a second', async () => {
    const { clock, join, closeFor } = setUp();
    closeFor(30_001);
    const { outcome } = join('a');
    await clock.pass(30_000);
    expect(fault(await outcome)?.retryAfterMs).toBe(1000);
  });

  it('has one patience for all its waits', async () => {
    const { clock, join, closeFor } = setUp();
    closeFor(20_000);
    const { wait, outcome } = join('a');
    await clock.pass(20_000);
    expect(await outcome).toMatchObject({ kind: 'retry' });
    closeFor(60_000);
    const second = wait();
    await clock.pass(10_000);
    expect(fault(await second)?.retryAfterMs).toBe(50_000);
  });

  it('ends with its deadline', async () => {
    const { clock, join, closeFor } = setUp();
    closeFor(40_000);
    const { outcome } = join('a', { deadlineAt: clock.now() + 2000 });
    await clock.pass(2000);
    expect(fault(await outcome)?.code).toBe('deadline_exceeded');
  });

  it('ends at once with its signal, before and while it waits', async () => {
    const { clock, waiting, join, closeFor } = setUp();
    closeFor(40_000);
    const controller = new AbortController();
    const { outcome, wait } = join('a', { signal: controller.signal });
    controller.abort();
    expect(await outcome).toEqual({ kind: 'aborted' });
    expect(await wait()).toEqual({ kind: 'aborted' });
    expect([waiting.count(), clock.timers()]).toEqual([0, 0]);
  });

  it('keeps its position in a full queue while it asks, until it has got a permit', async () => {
    const { clock, log, join, closeFor } = setUp({ limit: 1 });
    closeFor(0);
    const first = join('first');
    await first.outcome;
    expect(fault(await join('newcomer').outcome)?.code).toBe('no_target_available');
    closeFor(500);
    const again = first.wait();
    await clock.pass(500);
    expect((await again).kind).toBe('retry');
    first.waiter.abandon();
    closeFor(500);
    join('next');
    await clock.pass(500);
    expect(log.at(-1)).toBe('next retry');
  });

  it('is turned away at once when too many wait, or its model lets nobody wait', async () => {
    const { join, closeFor } = setUp({ limit: 2 });
    closeFor(5000);
    expect(fault(await join('none', { maxWaitMs: 0 }).outcome)?.retryAfterMs).toBe(5000);
    join('a');
    join('b');
    expect(fault(await join('c').outcome)?.code).toBe('no_target_available');
  });
});
