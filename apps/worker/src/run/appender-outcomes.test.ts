import { beforeEach, describe, expect, it } from 'vitest';
import { createAppenderRig, linesOf, turn } from './appender-steps.ts';
import type { AppenderRig } from './appender-steps.ts';

let rig: AppenderRig;

beforeEach(() => {
  rig = createAppenderRig();
});

describe('pressure', () => {
  it('is told once above the bound, and once it is below half of it', async () => {
    const writer = rig.open();
    writer.push('c'.repeat(600));
    await turn();
    expect(writer.pressure).toEqual([]);
    writer.push('c'.repeat(600));
    writer.push('c'.repeat(600));
    writer.push('c'.repeat(600));
    expect(writer.pressure).toEqual([true]);
    await rig.call(0).answer();
    await rig.call(1).answer();
    expect(writer.pressure).toEqual([true, false]);
    writer.push('c'.repeat(1001));
    expect(writer.pressure).toEqual([true, false, true]);
  });

  it('is taken back when the log refuses the stream', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    writer.push('c'.repeat(2000));
    await rig.call(0).answer('fenced');
    expect(writer.pressure).toEqual([true, false]);
  });
});

describe('a refused stream', () => {
  it.each(['fenced', 'ended', 'gone'] as const)(
    'is told once that it is %s, and takes nothing more',
    async (outcome) => {
      const writer = rig.open();
      writer.push('c1');
      await turn();
      writer.push('c2');
      await rig.call(0).answer(outcome);
      writer.push('c3');
      writer.end('d', 'done');
      await turn();
      expect(writer.refused).toEqual([outcome]);
      expect(rig.calls).toHaveLength(1);
      expect(rig.appender.busy).toBe(false);
    },
  );

  it('does not touch the others of its call', async () => {
    const [refused, other] = [rig.open(), rig.open()];
    refused.push('c1');
    other.push('d1');
    await turn();
    refused.push('c2');
    other.push('d2');
    await rig.call(0).answer('gone', 'written');
    expect(rig.call(1).items).toMatchObject([{ id: other.id, lines: ['d2'] }]);
    expect(other.refused).toEqual([]);
  });

  it('a duplicate is as good as written', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    await rig.call(0).answer('duplicate');
    writer.push('c2');
    await turn();
    expect(writer.refused).toEqual([]);
    expect(rig.call(1).items).toMatchObject([{ prev: { run: 1, seq: 1 }, lines: ['c2'] }]);
  });
});

async function isSettled(promise: Promise<unknown> | undefined): Promise<boolean> {
  let settled = false;
  void Promise.resolve(promise).then(() => (settled = true));
  await turn();
  return settled;
}

describe('a batch that Redis refuses for what is in it', () => {
  const wrong = new Error('WRONGTYPE Operation against a key holding the wrong kind of value');

  it('goes item by item: the damaged stream is refused, once, and the others go on', async () => {
    const [one, damaged, other] = [rig.open(), rig.open(), rig.open()];
    for (const writer of [one, damaged, other]) writer.push('c1');
    await turn();
    await rig.call(0).fail(wrong);
    expect(rig.calls.slice(1).map(({ items }) => items.map(({ id }) => id))).toEqual([
      [one.id],
      [damaged.id],
      [other.id],
    ]);
    await rig.call(1).answer();
    await rig.call(2).fail(wrong);
    await rig.call(3).answer();
    expect([one, damaged, other].map(({ refused }) => refused)).toEqual([[], ['damaged'], []]);
    for (const writer of [one, damaged, other]) writer.push('c2');
    await turn();
    expect(rig.call(4).items.map(({ id }) => id)).toEqual([one.id, other.id]);
    expect(rig.calls).toHaveLength(5);
  });

  it('stays together for what passes by itself', async () => {
    const writers = [rig.open(), rig.open()];
    for (const writer of writers) writer.push('c1');
    await turn();
    await rig.call(0).fail(new Error('LOADING Redis is loading the dataset in memory'));
    await expect.poll(() => rig.calls.length).toBe(2);
    expect(rig.call(1).items).toHaveLength(2);
    expect(rig.errors).toHaveLength(1);
  });
});

describe('sent', () => {
  it('resolves with the call that takes the lines, and does not wait for its answer', async () => {
    const writer = rig.open();
    writer.pushDeferred('a1');
    const sent = writer.sent();
    expect(rig.calls).toEqual([]);
    // At once, although the line alone would have waited for company.
    expect(await isSettled(sent)).toBe(true);
    expect(rig.calls.map(linesOf)).toEqual([[['a1']]]);
    expect(writer.sent()).toBeUndefined();
    expect(writer.flushed()).toBeInstanceOf(Promise);
  });

  it('waits for the call before, and ends where that one is refused', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    writer.pushDeferred('a2');
    const sent = writer.sent();
    expect(await isSettled(sent)).toBe(false);
    await rig.call(0).answer('fenced');
    expect(await isSettled(sent)).toBe(true);
    expect(rig.calls).toHaveLength(1);
  });
});

describe('flushed', () => {
  it('resolves at once where nothing waits', async () => {
    expect(await isSettled(rig.open().flushed())).toBe(true);
  });

  it('resolves when everything pushed is written, also what came meanwhile', async () => {
    const writer = rig.open();
    writer.push('c1');
    const flushed = writer.flushed();
    await turn();
    writer.push('c2');
    await rig.call(0).answer();
    expect(await isSettled(flushed)).toBe(false);
    await rig.call(1).answer();
    expect(await isSettled(flushed)).toBe(true);
  });

  it('resolves when the stream is refused, for everybody who waits', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    writer.push('c2');
    const both = Promise.all([writer.flushed(), writer.flushed()]);
    await rig.call(0).answer('fenced');
    expect(await isSettled(both)).toBe(true);
  });
});
