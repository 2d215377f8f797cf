import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createGiven,
  createRig,
  doneLine,
  idle,
  inboxName,
  show,
  startRequest,
} from './relay-steps.ts';
import type { Rig, Writer } from './relay-steps.ts';
import { portionChars, readBytes } from './log-reader.ts';

let rig: Rig;
let writer: Writer;

beforeEach(async () => {
  rig = await createRig();
  writer = await startRequest(rig.memory, inboxName);
  await writer.seal();
});

/** The texts of all lines so far. */
const whole = () => writer.lines.map(show);

describe('after a loss', () => {
  it('a frame that does not follow makes the reader look into its log', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    rig.memory.channels.hold(inboxName);
    await writer.write('c1');
    await writer.write('c2');
    rig.memory.channels.drop(inboxName, 1);
    rig.memory.channels.deliver(inboxName);
    await idle();
    expect(given.all).toEqual(whole());
    expect(rig.reads).toBe(1);
  });

  it('a gap makes every reader look into its log', async () => {
    const other = await startRequest(rig.memory, inboxName);
    await other.seal();
    const [first, second] = [createGiven(), createGiven()];
    rig.relay.openFresh(writer.id, first);
    rig.relay.openFresh(other.id, second);
    rig.memory.channels.hold(inboxName);
    await writer.end();
    await other.end();
    rig.memory.channels.drop(inboxName);
    expect(first.all).toEqual([]);
    rig.relay.onGap();
    await idle();
    expect([first.all, second.all]).toEqual([whole(), other.lines.map(show)]);
    expect(rig.relay.readers).toBe(0);
  });

  it('a gap that is told while a reader reads makes it read once more', async () => {
    rig.holdReads();
    rig.memory.channels.hold(inboxName);
    const { given } = rig.open(writer.id);
    await rig.execute();
    await writer.end();
    rig.memory.channels.gap(inboxName);
    await rig.answer();
    await rig.answer();
    expect(given.all).toEqual(whole());
    expect(rig.relay.readers).toBe(0);
  });

  it('a read that Redis refuses is tried again, and nothing is missed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    rig.holdReads();
    const { given } = rig.open(writer.id);
    for (let i = 0; i < 3; i++) {
      await rig.refuse(new Error('LOADING'));
      await vi.advanceTimersByTimeAsync(1000);
    }
    await writer.end();
    expect(given.all).toEqual([]);
    await rig.answer();
    expect(given.all).toEqual(whole());
    expect(rig.errors).toHaveLength(3);
  });

  it('a reader that leaves while a read is refused is not read for again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    rig.holdReads();
    const { reader } = rig.open(writer.id);
    await rig.refuse(new Error('LOADING'));
    reader.close();
    await vi.advanceTimersByTimeAsync(1000);
    expect(rig.waiting).toBe(0);
  });

  afterEach(() => vi.useRealTimers());
});

describe('a slow reader', () => {
  it('is pushed nothing until it has room again, and then reads the log', async () => {
    const given = createGiven();
    const reader = rig.relay.openFresh(writer.id, given);
    given.room = false;
    await writer.write('c1');
    await writer.write('c2');
    await writer.write('c3');
    expect(given.all).toEqual(['1-1 c1']);
    given.room = true;
    reader.resume();
    await idle();
    expect(given.all).toEqual(['1-1 c1', '1-2 c2', '1-3 c3']);
    await writer.end();
    expect(given.all).toEqual(whole());
  });

  it('comes through a long log page by page, at its own pace', async () => {
    for (let i = 0; i < 200; i++) await writer.write(`c${i}${'x'.repeat(2000)}`);
    await writer.end();
    const { given, reader } = rig.open(writer.id);
    given.room = false;
    await idle();
    const first = given.all.length;
    expect(first).toBeLessThanOrEqual(readBytes / 2000);
    await idle();
    expect(given.all).toHaveLength(first);
    for (let page = 0; rig.relay.readers > 0 && page < 50; page++) {
      reader.resume();
      await idle();
    }
    expect(given.all).toEqual(whole());
  });

  it('takes a part of a large frame, and the rest from the log', async () => {
    const given = createGiven();
    const reader = rig.relay.openFresh(writer.id, given);
    given.room = false;
    await writer.write(...Array.from({ length: 100 }, (_, i) => `c${i}${'x'.repeat(5000)}`));
    await writer.end();
    expect(given.all.length).toBeLessThanOrEqual(portionChars / 5000);
    given.room = true;
    reader.resume();
    await vi.waitFor(() => expect(rig.relay.readers).toBe(0));
    expect(given.all).toEqual(whole());
  });

  it('does not hold up the others of its request', async () => {
    const [slow, quick] = [createGiven(), createGiven()];
    slow.room = false;
    rig.relay.openFresh(writer.id, slow);
    rig.relay.openFresh(writer.id, quick);
    await writer.write('c1');
    await writer.write('c2');
    expect(slow.all).toHaveLength(1);
    expect(quick.all).toHaveLength(2);
  });

  it('is ended by the terminal line, also when that fills its connection', async () => {
    const given = createGiven();
    given.room = false;
    rig.relay.openFresh(writer.id, given);
    await writer.end();
    expect(rig.relay.readers).toBe(0);
  });
});

describe('a log that lost what a reader was shown', () => {
  it('resets a reader once, and gives everything from the start', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1');
    const goBack = rig.memory.snapshot();
    await writer.write('lost');
    goBack();
    await writer.seal();
    await writer.write('c2');
    await idle();
    expect(given.all).toEqual(['1-1 c1', '1-2 lost', 'reset cursor_ahead', '1-1 c1', '2-1 c2']);
    await writer.end();
    expect(given.all.at(-1)).toBe(`2-2 ${doneLine}`);
    expect(rig.relay.readers).toBe(0);
  });

  it('resets a reader at the gap already, before anything new is written', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1');
    const goBack = rig.memory.snapshot();
    await writer.write('lost');
    goBack();
    rig.relay.onGap();
    await idle();
    expect(given.all).toEqual(['1-1 c1', '1-2 lost', 'reset cursor_ahead', '1-1 c1']);
    await writer.seal();
    await writer.end();
    expect(given.all.at(-1)).toBe(`2-1 ${doneLine}`);
  });

  it('resets a reader of a log that is lost as a whole, so that its end still comes', async () => {
    const given = createGiven();
    const goBack = rig.memory.snapshot();
    rig.relay.openFresh(writer.id, given);
    await writer.write('lost', 'lost too');
    goBack();
    rig.relay.onGap();
    await idle();
    expect(given.all.slice(2)).toEqual(['reset cursor_ahead']);
    await writer.cancel();
    expect(rig.relay.readers).toBe(0);
  });

  it('is not asked again and again for what it lost', async () => {
    rig.holdReads();
    await writer.write('c1');
    const goBack = rig.memory.snapshot();
    const { given } = rig.open(writer.id);
    await rig.execute();
    // Heard of while the answer is on its way, and lost before the next read.
    await writer.write('lost');
    goBack();
    await rig.answer();
    await rig.answer();
    await idle();
    expect(rig.waiting).toBe(0);
    expect(given.all).toEqual(['1-1 c1']);
    await writer.seal();
    await writer.end();
    await rig.releaseReads();
    expect(given.all).toEqual(['1-1 c1', `2-1 ${doneLine}`]);
  });
});
