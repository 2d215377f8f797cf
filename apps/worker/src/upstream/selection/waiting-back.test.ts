import { describe, expect, it } from 'vitest';
import { createModelQueues } from '../../intake/queues.ts';
import type { Availability } from './port.ts';
import { fault, setUp, wanting } from './waiting.fixture.ts';

/* Who goes back to the queue, where all that is missing is room. */

function limited({
  limit = 100,
  plight = 'limited',
}: { limit?: number; plight?: Availability } = {}) {
  let clockNow = () => 0;
  const avoided: string[][] = [];
  const lines = createModelQueues({
    availabilityOf: () => plight,
    maxWaitMsOf: () => 30_000,
    onAvoid: (models) => avoided.push([...models]),
    now: () => clockNow(),
  });
  const world = setUp({ limit, lines });
  clockNow = world.clock.now;
  world.opens.set('m', Infinity);
  return { ...world, lines, avoided };
}

const fresh = { ...wanting('m'), isFresh: true };
const detached = { ...wanting('m'), isDetached: true };

describe('a request that has asked nobody', () => {
  it('goes back at once when as many wait as may, and no more are taken by then', async () => {
    const { avoided, log, join } = limited();
    join('first', { request: fresh });
    expect(avoided).toEqual([['m']]);
    expect(await join('second', { request: fresh }).outcome).toEqual({ kind: 'not_yet' });
    expect(log).toEqual(['second not_yet']);
  });

  it('waits where every target is broken', async () => {
    const { clock, waiting, avoided, join } = limited({ plight: 'broken' });
    join('first', { request: fresh });
    const { outcome } = join('second', { request: fresh });
    expect([waiting.count(), avoided]).toEqual([2, []]);
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
    const { clock, waiting, avoided, opens, join } = limited();
    const { place, outcome } = join('first', { request: fresh });
    opens.set('m', clock.now());
    await clock.pass(1000);
    await outcome;
    place.admitted();
    expect(avoided).toEqual([['m'], []]);
    opens.set('m', Infinity);
    join('second', { request: fresh });
    expect(waiting.count()).toBe(1);
  });
});

describe('a request that has asked somebody', () => {
  it('waits in a full line: it would have to ask again elsewhere', async () => {
    const { waiting, join } = limited();
    join('first', { request: fresh });
    join('refused');
    join('in mid-answer', { request: { ...wanting('m'), urgent: true } });
    expect(waiting.count()).toBe(3);
  });
});

describe('a request for which nobody waits', () => {
  it('goes back at the end of its patience, and is not taken again at once', async () => {
    const { clock, avoided, lines, join } = limited();
    const { outcome } = join('job', { request: detached });
    await clock.pass(30_000);
    expect(await outcome).toEqual({ kind: 'not_yet' });
    // It was avoided all the time, and is for a second more.
    expect(avoided).toEqual([['m']]);
    await clock.pass(1000);
    lines.tick();
    expect(avoided).toEqual([['m'], []]);
  });

  it('goes back at once from a model that lets nobody wait, with the same rest', async () => {
    const { avoided, join } = limited();
    const { outcome } = join('job', { request: detached, maxWaitMs: 0 });
    expect(await outcome).toEqual({ kind: 'not_yet' });
    expect(avoided).toEqual([['m']]);
  });

  it('fails where every target is broken', async () => {
    const { clock, join } = limited({ plight: 'broken' });
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
  const { avoided, join } = limited({ limit: 1 });
  join('other', { request: wanting('x') }, 'x');
  expect(await join('first', { request: fresh }).outcome).toEqual({ kind: 'not_yet' });
  expect(avoided.at(-1)).toContain('m');
});
