import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAppenderRig, linesOf, turn } from './appender-steps.ts';
import type { AppenderRig } from './appender-steps.ts';

let rig: AppenderRig;

beforeEach(() => {
  rig = createAppenderRig();
});

describe('gathering', () => {
  it('sends what one turn brought in one call, an item for each stream', async () => {
    const [first, second] = [rig.open(), rig.open()];
    first.push('c1');
    second.push('d1');
    first.push('c2');
    expect(rig.calls).toHaveLength(0);
    await turn();
    expect(rig.calls).toHaveLength(1);
    expect(rig.call(0).items.map(({ id, lines }) => [id, lines])).toEqual([
      [first.id, ['c1', 'c2']],
      [second.id, ['d1']],
    ]);
  });

  it('has one call in flight, and what comes meanwhile goes with the next one', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    writer.push('c2');
    await turn();
    writer.push('c3');
    await turn();
    expect(rig.calls).toHaveLength(1);
    await rig.call(0).answer();
    expect(rig.calls).toHaveLength(2);
    expect(linesOf(rig.call(1))).toEqual([['c2', 'c3']]);
  });

  it('does not let one shard wait for another', async () => {
    const [first, second] = [rig.open({ shard: 0 }), rig.open({ shard: 1 })];
    first.push('c1');
    await turn();
    second.push('d1');
    await turn();
    expect(rig.calls.map(({ shard }) => shard)).toEqual([0, 1]);
    await rig.call(1).answer();
    second.push('d2');
    await turn();
    expect(rig.calls.map(({ shard }) => shard)).toEqual([0, 1, 1]);
  });

  it('is busy from the first line to the last answer', async () => {
    const writer = rig.open();
    expect(rig.appender.busy).toBe(false);
    writer.push('c1');
    expect(rig.appender.busy).toBe(true);
    await turn();
    writer.push('c2');
    await rig.call(0).answer();
    expect(rig.appender.busy).toBe(true);
    await rig.call(1).answer();
    expect(rig.appender.busy).toBe(false);
  });
});

describe('places', () => {
  it('follow each other without a hole from the line before the run', async () => {
    const writer = rig.open({ run: 4, prev: { run: 2, seq: 7 }, entries: 3, nonce: 'mine' });
    writer.push('c1');
    writer.push('c2');
    await turn();
    writer.push('c3');
    await rig.call(0).answer();
    await rig.call(1).answer();
    writer.end('d', 'done');
    await turn();
    const places = rig.calls.map(({ items: [item] }) => {
      return { prev: item?.prev, last: item?.last, entries: item?.entries };
    });
    expect(places).toEqual([
      { prev: { run: 2, seq: 7 }, last: { run: 4, seq: 2 }, entries: 3 },
      { prev: { run: 4, seq: 2 }, last: { run: 4, seq: 3 }, entries: 4 },
      { prev: { run: 4, seq: 3 }, last: { run: 4, seq: 4 }, entries: 5 },
    ]);
    expect(new Set(rig.calls.map(({ items: [item] }) => item?.nonce))).toEqual(new Set(['mine']));
  });

  it('count on where a re-sent seal found lines of the run itself', async () => {
    const writer = rig.open({ run: 3, prev: { run: 3, seq: 5 } });
    writer.push('c6');
    await turn();
    expect(rig.call(0).items[0]).toMatchObject({
      prev: { run: 3, seq: 5 },
      last: { run: 3, seq: 6 },
    });
  });
});

describe('the terminal line', () => {
  it('is marked as such, and nothing is taken after it', async () => {
    const writer = rig.open();
    writer.push('c1');
    writer.end('d', 'done');
    writer.push('c2');
    writer.end('x', 'cancelled');
    await turn();
    expect(rig.call(0).items).toMatchObject([{ lines: ['c1', 'd'], terminal: 'done' }]);
    await rig.call(0).answer();
    expect(rig.calls).toHaveLength(1);
  });

  it('marks only the last part of a pack that was split', async () => {
    const big = 'c'.repeat(300 * 1024);
    const writer = rig.open();
    for (let i = 0; i < 3; i++) writer.push(big);
    writer.end('d', 'done');
    await turn();
    expect(rig.call(0).items[0]?.terminal).toBeUndefined();
    expect(rig.call(0).items[0]?.lines).toHaveLength(2);
    await rig.call(0).answer();
    expect(rig.call(1).items).toMatchObject([
      { lines: [big, 'd'], terminal: 'done', prev: { run: 1, seq: 2 }, last: { run: 1, seq: 4 } },
    ]);
  });
});

describe('a whole answer', () => {
  const giant = `r${'x'.repeat(600 * 1024)}`;

  it.each<[string, string[]]>([
    ['alone', [giant]],
    ['behind other lines', ['a1', giant]],
    ['that fills the call only with its ledger entry', [`r${'x'.repeat(512 * 1024 - 2)}`]],
  ])('is written with its end in one call: %s', async (_, before) => {
    const writer = rig.open();
    for (const line of before) writer.push(line);
    writer.pushDeferred('e1');
    writer.end('d', 'done');
    await turn();
    expect(rig.call(0).items).toMatchObject([{ lines: [...before, 'e1', 'd'], terminal: 'done' }]);
    expect(rig.calls).toHaveLength(1);
  });
});

describe('bounds', () => {
  it('no more than 400 streams go with one call, and the others with the next', async () => {
    const writers = Array.from({ length: 1000 }, () => rig.open());
    for (const writer of writers) writer.push('c1');
    await turn();
    for (let at = 0; at < 3; at++) {
      await vi.waitFor(() => expect(rig.calls.length).toBe(at + 1));
      await rig.call(at).answer();
    }
    expect(rig.calls.map(({ items }) => items.length)).toEqual([400, 400, 200]);
    const sent = rig.calls.flatMap(({ items }) => items.map(({ id }) => id));
    expect(sent).toEqual(writers.map(({ id }) => id));
  });

  it('a call is full at about 512 KB, in one stream or in many', async () => {
    const writers = Array.from({ length: 5 }, () => rig.open());
    for (const writer of writers) writer.push('c'.repeat(200 * 1024));
    await turn();
    await rig.call(0).answer();
    expect(rig.calls.map(({ items }) => items.length)).toEqual([3, 2]);
  });

  it('a line that is larger than that goes all the same, alone', async () => {
    const writer = rig.open();
    const giant = 'c'.repeat(2 * 1024 * 1024);
    writer.push(giant);
    writer.push('c2');
    await turn();
    expect(linesOf(rig.call(0))).toEqual([[giant]]);
    await rig.call(0).answer();
    expect(linesOf(rig.call(1))).toEqual([['c2']]);
  });

  it('one busy stream does not push the others back', async () => {
    const [busy, other] = [rig.open(), rig.open()];
    const line = 'c'.repeat(500 * 1024);
    for (let i = 0; i < 5; i++) busy.push(line);
    other.push('d1');
    await turn();
    await rig.call(0).answer();
    expect(rig.calls.slice(0, 2).flatMap(({ items }) => items.map(({ id }) => id))).toContain(
      other.id,
    );
  });
});

describe('with a clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('a call that fails is made again with the same items, until it is answered', async () => {
    const writer = rig.open();
    writer.push('c1');
    await turn();
    writer.push('c2');
    for (let i = 0; i < 3; i++) {
      await rig.call(i).fail(new Error('connection lost'));
      expect(rig.calls).toHaveLength(i + 1);
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(rig.calls).toHaveLength(4);
    for (const { items } of rig.calls) expect(items).toEqual(rig.call(0).items);
    expect(linesOf(rig.call(3))).toEqual([['c1']]);
    expect(rig.errors).toHaveLength(3);
    await rig.call(3).answer();
    expect(linesOf(rig.call(4))).toEqual([['c2']]);
  });

  it('a line that nobody waits for goes with the next one that somebody does', async () => {
    const writer = rig.open();
    writer.pushDeferred('a1');
    await turn();
    expect(rig.calls).toHaveLength(0);
    writer.push('c1');
    await turn();
    expect(linesOf(rig.call(0))).toEqual([['a1', 'c1']]);
    await rig.call(0).answer();
    await vi.advanceTimersByTimeAsync(1000);
    expect(rig.calls).toHaveLength(1);
  });

  it('a line that nobody waits for goes alone after a moment', async () => {
    const writer = rig.open();
    writer.pushDeferred('a1');
    const flushed = writer.flushed();
    await vi.advanceTimersByTimeAsync(10);
    expect(linesOf(rig.call(0))).toEqual([['a1']]);
    await rig.call(0).answer();
    await flushed;
  });

  it('keeps a distance between calls while many streams write', async () => {
    const writers = Array.from({ length: 50 }, () => rig.open());
    for (const writer of writers) writer.push('c1');
    await turn();
    expect(rig.calls).toHaveLength(1);
    for (const writer of writers.slice(0, 25)) writer.push('c2');
    await rig.call(0).answer();
    for (const writer of writers.slice(25)) writer.push('c2');
    await turn();
    expect(rig.calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(5);
    expect(rig.calls).toHaveLength(2);
    expect(rig.call(1).items).toHaveLength(50);
  });

  it('keeps none for a few streams', async () => {
    const writers = Array.from({ length: 5 }, () => rig.open());
    for (const writer of writers) writer.push('c1');
    await turn();
    for (const writer of writers) writer.push('c2');
    await rig.call(0).answer();
    expect(rig.calls).toHaveLength(2);
  });
});
