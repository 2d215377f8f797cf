import { describe, expect, it } from 'vitest';
import { fault, setUp, target, wanting } from './waiting.fixture.ts';

describe('requests that have no use for some targets any more', () => {
  it('are woken by those that they wait for, and the others go to theirs', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(20_000, 'b');
    closeFor(1000, 'a');
    join('only b', { request: wanting('b') });
    const { outcome } = join('either', { request: wanting('a', 'b') });
    await clock.pass(19_000);
    expect(log).toEqual(['either retry']);
    expect(await outcome).toEqual({ kind: 'retry', open: [target('a')] });
    await clock.pass(1000);
    expect(log).toEqual(['either retry', 'only b retry']);
  });

  it('are told the time of those that they wait for when they are turned away', async () => {
    const { join, closeFor } = setUp();
    closeFor(0, 'a');
    closeFor(7000, 'b');
    const { outcome } = join('x', { request: wanting('b'), maxWaitMs: 0 });
    expect(fault(await outcome)?.retryAfterMs).toBe(7000);
  });

  it('go aside when they are woken and ask nobody, and hold up nobody', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(1000);
    const idle = join('idle');
    const circle = async (): Promise<void> => {
      if ((await idle.wait({ hasAsked: false })).kind === 'retry') await circle();
    };
    void idle.outcome.then(circle);
    for (const name of 'abcdefg') join(name);
    // It slows nobody down: one, then two, then four.
    await clock.pass(1040);
    expect(log).toEqual('idle a b c d e f'.split(' ').map((name) => `${name} retry`));
  });

  it('keep their place when what they were woken for is shut by then', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(0);
    const first = join('first');
    await first.outcome;
    closeFor(500);
    void first.wait({ hasAsked: false });
    join('second');
    await clock.pass(500);
    expect(log).toEqual(['first retry', 'first retry']);
  });
});

describe('who has a reader in mid-answer', () => {
  it('goes before all others, in its own order', async () => {
    const { clock, log, join, closeFor } = setUp();
    closeFor(1000);
    join('a');
    join('b');
    const urgent = { request: { ...wanting('m'), urgent: true } };
    join('c', urgent);
    join('d', urgent);
    await clock.pass(1040);
    expect(log).toEqual(['c retry', 'd retry', 'a retry', 'b retry']);
  });

  it('is not rejected because new requests fill the queue, and takes no room of theirs', async () => {
    const { clock, log, waiting, join, closeFor } = setUp({ limit: 1 });
    closeFor(1000);
    join('urgent', { request: { ...wanting('m'), urgent: true } });
    join('a');
    join('late', { request: { ...wanting('m'), urgent: true } });
    join('b');
    await clock.pass(0);
    expect(log).toEqual(['b fault']);
    expect(waiting.count()).toBe(3);
  });
});

describe('a target that is coming back', () => {
  const many = Array.from({ length: 100 }, (_, index) => `${index}`);

  /** Every tenth sample is admitted, until the share grows. */
  function comingBack() {
    const world = setUp();
    const drawn = { count: 0 };
    const draw = () => ++drawn.count % 10 === 0;
    const since = world.clock.now();
    world.samples.set('m', { until: since + 1000, draw });
    for (const name of many) world.join(name);
    const nextShare = () => world.samples.set('m', { until: world.clock.now() + 1000, draw });
    return { ...world, drawn, nextShare };
  }

  it('gets its share of those that wait, and each of them draws once', async () => {
    const { clock, log, drawn, nextShare } = comingBack();
    // A request that arrives has drawn its sample, or was not to draw one.
    await clock.pass(999);
    expect([drawn.count, log.length]).toEqual([0, 0]);
    nextShare();
    await clock.pass(999);
    expect([drawn.count, log.length]).toEqual([100, 10]);
    nextShare();
    await clock.pass(999);
    expect([drawn.count, log.length]).toEqual([190, 19]);
  });

  it('is told to those who won it', async () => {
    const { clock, samples, join } = setUp();
    samples.set('m', { until: clock.now() + 1000, draw: () => true });
    const { outcome } = join('a');
    await clock.pass(1000);
    expect(await outcome).toEqual({ kind: 'retry', open: [target('m')] });
  });

  it('is not drawn for again because something else changes', async () => {
    const { clock, log, drawn, nextShare, waiting } = comingBack();
    await clock.pass(999);
    nextShare();
    await clock.pass(500);
    for (let i = 0; i < 5; i++) waiting.wake();
    await clock.pass(100);
    expect([drawn.count, log.length]).toEqual([100, 10]);
  });
});
