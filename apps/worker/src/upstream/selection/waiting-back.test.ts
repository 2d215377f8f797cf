import { describe, expect, it } from 'vitest';
import { createModelQueues } from '../../intake/queues.ts';
import type { Availability } from './port.ts';
import { fault, setUp, wanting } from './waiting.fixture.ts';

/* Who goes back to the queue, where all that is missing is room. */

function limited({
  limit = 100,
  availability = 'limited',
}: { limit?: number; availability?: Availability } = {}) {
  let clockNow = () => 0;
  const skipped: string[][] = [];
  const lines = createModelQueues({
    availabilityOf: () => availability,
    maxWaitMsOf: () => 30_000,
    onSkip: (models) => skipped.push([...models]),
    now: () => clockNow(),
  });
  const world = setUp({ limit, lines });
  clockNow = world.clock.now;
  world.opens.set('m', Infinity);
  return { ...world, lines, skipped };
}

const fresh = { ...wanting('m'), isFresh: true };
const detached = { ...wanting('m'), isDetached: true };

describe('a request that has asked nobody', () => {
  it('goes back at once when as many wait as may, and no more are taken by then', async () => {
    const { skipped, log, join } = limited();
    join('first', { request: fresh });
    expect(skipped).toEqual([['m']]);
    expect(await join('second', { request: fresh }).outcome).toEqual({ kind: 'not_yet' });
    expect(log).toEqual(['second not_yet']);
  });

  it('waits where every target is broken', async () => {
    const { clock, waiting, skipped, join } = limited({ availability: 'broken' });
    join('first', { request: fresh });
    const { outcome } = join('second', { request: fresh });
    expect([waiting.count(), skipped]).toEqual([2, []]);
    await clock.pass(30_000);
    expect(fault(await outcome)?.code).toBe('no_target_available');
  });

  it('keeps its seat when it was woken and comes back', async () => {
    const { clock, opens, join } = limited();
    const { wait, outcome } = join('first', { request: fresh });
    opens.set('m', clock.now());
    await clock.pass(1000);
    expect(await outcome).toMatchObject({ kind: 'retry' });
    opens.set('m', Infinity);
    let ended = false;
    void wait().then(() => (ended = true));
    await clock.pass(1000);
    expect(ended).toBe(false);
  });

  it('has a seat to come to when the one before it got through', async () => {
    const { clock, waiting, skipped, opens, join } = limited();
    const { waiter, outcome } = join('first', { request: fresh });
    opens.set('m', clock.now());
    await clock.pass(1000);
    await outcome;
    waiter.admitted();
    expect(skipped).toEqual([['m'], []]);
    opens.set('m', Infinity);
    join('second', { request: fresh });
    expect(waiting.count()).toBe(1);
  });
});

describe('a request that has asked somebody', () => {
  it('waits in a full queue: it would have to ask again elsewhere', async () => {
    const { waiting, join } = limited();
    join('first', { request: fresh });
    join('refused');
    join('in mid-answer', { request: { ...wanting('m'), urgent: true } });
    expect(waiting.count()).toBe(3);
  });
});

describe('a request for which nobody waits', () => {
  it('goes back at the end of its patience, and is not taken again at once', async () => {
    const { clock, skipped, lines, join } = limited();
    const { outcome } = join('job', { request: detached });
    await clock.pass(30_000);
    expect(await outcome).toEqual({ kind: 'not_yet' });
    // It was skipped all the time, and is for a second more.
    expect(skipped).toEqual([['m']]);
    await clock.pass(1000);
    lines.tick();
    expect(skipped).toEqual([['m'], []]);
  });

  it('goes back at once from a model that lets nobody wait, with the same rest', async () => {
    const { skipped, join } = limited();
    const { outcome } = join('job', { request: detached, maxWaitMs: 0 });
    expect(await outcome).toEqual({ kind: 'not_yet' });
    expect(skipped).toEqual([['m']]);
  });

  it('fails where every target is broken', async () => {
    const { clock, join } = limited({ availability: 'broken' });
    const { outcome } = join('job', { request: detached });
    await clock.pass(30_000);
    expect(fault(await outcome)?.code).toBe('no_target_available');
  });

  it('ends with its deadline all the same', async () => {
    const { clock, join } = limited();
    const { outcome } = join('job', { request: detached, deadlineAt: clock.now() + 2000 });
    await clock.pass(2000);
    expect(fault(await outcome)?.code).toBe('deadline_exceeded');
  });

  it('never goes back with a part of its answer shown', async () => {
    const { clock, join } = limited();
    const { outcome } = join('job', { request: { ...detached, urgent: true } });
    await clock.pass(30_000);
    expect(fault(await outcome)?.code).toBe('no_target_available');
  });
});

it('one whose client waits is turned away at the end of its patience, as ever', async () => {
  const { clock, join } = limited();
  const { outcome } = join('stream', { request: fresh });
  await clock.pass(30_000);
  expect(fault(await outcome)?.code).toBe('no_target_available');
});

it('goes back instead of being turned away because too many wait', async () => {
  const { skipped, join } = limited({ limit: 1 });
  join('other', { request: wanting('x') }, 'x');
  expect(await join('first', { request: fresh }).outcome).toEqual({ kind: 'not_yet' });
  expect(skipped.at(-1)).toContain('m');
});
