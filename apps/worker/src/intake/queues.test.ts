import { describe, expect, it } from 'vitest';
import { createClock } from '../upstream/selection/clock.fixture.ts';
import type { Availability } from '../upstream/selection/port.ts';
import { createModelQueues } from './queues.ts';

function setUp() {
  const clock = createClock();
  const plights = new Map<string, Availability>();
  const told: string[][] = [];
  const lines = createModelQueues({
    availabilityOf: (model) => plights.get(model) ?? 'limited',
    maxWaitMsOf: () => 30_000,
    onSkip: (models) => told.push([...models]),
    now: clock.now,
  });
  /** Sits down, and gets up after so long. */
  async function wait(ms: number, how: 'through' | 'gave_up' | 'gone' = 'through') {
    const satAt = clock.now();
    lines.waitStarted('m');
    await clock.pass(ms);
    lines.waitEnded('m', satAt, how);
  }
  return { clock, plights, told, lines, wait };
}

describe('the line of a model that lacks room', () => {
  it('is full with one at first: no more of its jobs are taken until that one is gone', async () => {
    const { clock, told, lines } = setUp();
    lines.waitStarted('m');
    expect(told).toEqual([['m']]);
    expect([lines.isFull('m'), lines.isFull('other')]).toEqual([true, false]);
    lines.waitEnded('m', clock.now(), 'gone');
    expect(told).toEqual([['m'], []]);
    expect(lines.isFull('m')).toBe(false);
  });

  it('has room for more when those that wait get through soon, and for fewer when they do not', async () => {
    const { lines, wait, clock } = setUp();
    await wait(300);
    await wait(300);
    // A line that was never full says nothing.
    expect(lines.snapshot()).toMatchObject({ m: { allowance: 2 } });
    for (let i = 0; i < 2; i++) lines.waitStarted('m');
    expect(lines.isFull('m')).toBe(true);
    const satAt = clock.now();
    await clock.pass(8000);
    lines.waitEnded('m', satAt, 'through');
    expect(lines.snapshot()).toMatchObject({ m: { allowance: 1, waiting: 1, skipped: true } });
  });

  it('stays limited while its target looks open, because one of them asks', () => {
    const { plights, lines } = setUp();
    lines.waitStarted('m');
    plights.set('m', 'open');
    lines.tick();
    expect([lines.isFull('m'), lines.isLimited('m')]).toEqual([true, true]);
  });

  it('lacks no capacity if all its targets are broken: every request may wait', () => {
    const { plights, told, lines } = setUp();
    plights.set('m', 'broken');
    for (let i = 0; i < 10; i++) lines.waitStarted('m');
    expect([told, lines.isFull('m'), lines.isLimited('m')]).toEqual([[], false, false]);
  });

  it('is no longer full when its targets break', () => {
    const { plights, told, lines } = setUp();
    lines.waitStarted('m');
    plights.set('m', 'broken');
    lines.tick();
    expect(told).toEqual([['m'], []]);
  });

  it('is left alone for a second when one goes back from it', async () => {
    const { clock, told, lines } = setUp();
    lines.coolDown('m');
    expect([told, lines.isFull('m')]).toEqual([[['m']], true]);
    await clock.pass(900);
    lines.tick();
    expect(lines.isFull('m')).toBe(true);
    await clock.pass(100);
    lines.tick();
    expect([told, lines.isFull('m')]).toEqual([[['m'], []], false]);
  });

  it('is remembered for half a minute when nobody waits, and not for ever', async () => {
    const { clock, lines, wait } = setUp();
    await wait(100);
    await clock.pass(29_000);
    lines.tick();
    expect(lines.snapshot()).toEqual({ m: { allowance: 2, waiting: 0, skipped: false } });
    await clock.pass(1000);
    lines.tick();
    expect(lines.snapshot()).toEqual({});
  });
});
