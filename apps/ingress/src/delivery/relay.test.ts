import { encodeEntry } from '@millrace/shared/domain/entry';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { graceMs } from './reader-life.ts';
import {
  behind,
  createGiven,
  createRig,
  doneLine,
  idle,
  inboxName,
  logStart,
  show,
  startRequest,
} from './relay-steps.ts';
import type { Rig, Writer } from './relay-steps.ts';

let rig: Rig;
let writer: Writer;

beforeEach(async () => {
  rig = await createRig();
  writer = await startRequest(rig.memory, inboxName);
  await writer.seal();
});

/** The texts of all lines so far. */
const whole = () => writer.lines.map(show);

describe('a fresh reader', () => {
  it('is given every line as it comes, without a read of the log', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1');
    expect(given.all).toEqual(['1-1 c1']);
    await writer.write('c2', 'c3');
    await writer.end();
    expect(given.all).toEqual(whole());
    expect(rig.reads).toBe(0);
  });

  it('is closed by the terminal line, and nobody is told that it left', async () => {
    const given = createGiven();
    const reader = rig.relay.openFresh(writer.id, given);
    await writer.end();
    expect(rig.relay.readers).toBe(0);
    reader.close();
    reader.resume();
    rig.relay.onGap();
    await idle();
    expect(rig.unread).toEqual([]);
    expect(given.all).toEqual(whole());
    expect(rig.reads).toBe(0);
  });

  it('is ended by a line from outside', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1');
    await writer.cancel();
    expect(given.all).toEqual(whole());
    expect(given.all).toHaveLength(2);
    expect(rig.relay.readers).toBe(0);
  });

  it('goes from run to run without a read, whatever numbers were left out', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1', 'c2');
    await writer.seal();
    await writer.seal();
    await writer.write('c3');
    await writer.end();
    expect(given.all).toEqual(['1-1 c1', '1-2 c2', '3-1 c3', `3-2 ${doneLine}`]);
    expect(rig.reads).toBe(0);
  });
});

describe('a reader from a cursor', () => {
  it('reads what is there and then goes on live', async () => {
    await writer.write('c1', 'c2');
    const { given } = rig.open(writer.id);
    await idle();
    expect(given.all).toEqual(['1-1 c1', '1-2 c2']);
    const { reads } = rig;
    await writer.write('c3');
    expect(given.all).toEqual(whole());
    expect(rig.reads).toBe(reads);
  });

  it('is given only what is behind its cursor, also inside a pack', async () => {
    await writer.write('c1', 'c2', 'c3');
    await writer.write('c4');
    const { given } = rig.open(writer.id, { run: 1, seq: 2 });
    await idle();
    expect(given.all).toEqual(['1-3 c3', '1-4 c4']);
  });

  it('of a request that waits in the queue gets its first line live', async () => {
    const queued = await startRequest(rig.memory, inboxName);
    const { given } = rig.open(queued.id);
    await idle();
    expect(given.all).toEqual([]);
    await queued.seal();
    await queued.write('c1');
    expect(given.all).toEqual(['1-1 c1']);
  });

  it('reads a log of many pages to its end', async () => {
    for (let i = 0; i < 300; i++) await writer.write(`c${i}`);
    await writer.end();
    const { given } = rig.open(writer.id);
    await vi.waitFor(() => expect(rig.relay.readers).toBe(0));
    expect(given.all).toEqual(whole());
    expect(given.all).toHaveLength(301);
  });

  it('misses nothing that came live while it read', async () => {
    rig.holdReads();
    await writer.write('c1');
    const { given } = rig.open(writer.id);
    await rig.execute();
    // In the log only after it was read, and shown while the answer is on its way.
    await writer.write('c2');
    await writer.end();
    await rig.answer();
    await rig.answer();
    expect(given.all).toEqual(whole());
    expect(rig.relay.readers).toBe(0);
  });

  it('is given nothing twice when the live path comes after the log', async () => {
    rig.memory.channels.hold(inboxName);
    await writer.write('c1');
    await writer.write('c2');
    const { given } = rig.open(writer.id);
    await idle();
    const { reads } = rig;
    rig.memory.channels.deliver(inboxName);
    await writer.write('c3');
    rig.memory.channels.deliver(inboxName);
    expect(given.all).toEqual(['1-1 c1', '1-2 c2', '1-3 c3']);
    expect(rig.reads).toBe(reads);
  });
});

describe('readers that leave', () => {
  it('the last one before the end is told, once, with its request', async () => {
    const first = rig.relay.openFresh(writer.id, createGiven());
    const second = rig.relay.openFresh(writer.id, createGiven());
    await writer.write('c1');
    first.close();
    first.close();
    expect(rig.unread).toEqual([]);
    second.close();
    second.close();
    expect(rig.unread).toEqual([writer.id]);
    expect(rig.relay.readers).toBe(0);
  });

  it('one that left is given nothing more, and the others go on', async () => {
    const [leaving, staying] = [createGiven(), createGiven()];
    const reader = rig.relay.openFresh(writer.id, leaving);
    rig.relay.openFresh(writer.id, staying);
    await writer.write('c1');
    reader.close();
    await writer.end();
    expect(leaving.all).toEqual(['1-1 c1']);
    expect(staying.all).toEqual(whole());
    expect(rig.unread).toEqual([]);
  });

  it('one that leaves while it reads is given nothing of the answer', async () => {
    rig.holdReads();
    await writer.end();
    const { given, reader } = rig.open(writer.id);
    reader.close();
    await rig.answer();
    expect(given.all).toEqual([]);
    expect(rig.unread).toEqual([writer.id]);
  });

  it('one that leaves while it is given lines gets no more of them', async () => {
    const given = createGiven();
    const reader = rig.relay.openFresh(writer.id, {
      ...given,
      lines(lines) {
        given.lines(lines);
        reader.close();
        return true;
      },
    });
    await writer.write('c1');
    await writer.end();
    expect(given.all).toEqual(['1-1 c1']);
    expect(rig.unread).toEqual([writer.id]);
  });

  it('a new one after the last one left starts from its own cursor', async () => {
    rig.relay.openFresh(writer.id, createGiven()).close();
    await writer.write('c1');
    const { given } = rig.open(writer.id);
    await idle();
    await writer.end();
    expect(given.all).toEqual(whole());
  });
});

describe('several readers', () => {
  it('at different places are each given what is behind their own', async () => {
    await writer.write('c1', 'c2');
    await writer.write('c3');
    const places = [logStart, { run: 1, seq: 1 }, { run: 1, seq: 2 }, { run: 1, seq: 3 }];
    const opened = places.map((after) => rig.open(writer.id, after).given);
    await writer.write('c4');
    await idle();
    await writer.end();
    for (const [i, given] of opened.entries()) {
      expect(given.all).toEqual(behind(writer.lines, places[i] ?? logStart));
    }
    expect(rig.relay.readers).toBe(0);
  });

  it('of other requests are not touched by a frame', async () => {
    const other = await startRequest(rig.memory, inboxName);
    await other.seal();
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    await other.write('c1');
    await idle();
    expect(given.all).toEqual([]);
    expect(rig.reads).toBe(0);
  });

  it('are given their lines also when one before them throws', async () => {
    const given = createGiven();
    const told: string[] = [];
    rig.relay.openFresh(writer.id, {
      lines() {
        throw new Error('a bug in a sink');
      },
      reset: () => {},
      gone: (reason) => told.push(reason),
    });
    rig.relay.openFresh(writer.id, given);
    await writer.end();
    expect(given.all).toEqual(whole());
    expect(rig.errors).toHaveLength(1);
    expect(rig.relay.readers).toBe(0);
    expect(told).toEqual(['broken']);
  });

  it('are told once when the request is not there any more, and then closed', () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given);
    rig.relay.expire(writer.id);
    rig.relay.expire(writer.id);
    expect(given.all).toEqual(['gone expired']);
    expect(rig.relay.readers).toBe(0);
  });
});

describe('a reader that missed a frame without a trace', () => {
  it('reads its log when that is known to reach further', async () => {
    const { given } = rig.open(writer.id);
    await idle();
    rig.memory.channels.hold(inboxName);
    await writer.end();
    rig.memory.channels.drop(inboxName);
    const described = await rig.log.describe(writer.id);
    rig.relay.heard(writer.id, described?.last ?? { run: 0, seq: 0 });
    await idle();
    expect(given.all).toEqual(whole());
    expect(rig.relay.readers).toBe(0);
  });
});

describe('a request that somebody is about to read', () => {
  it('is not unread when its last reader leaves meanwhile', async () => {
    const { reader } = rig.open(writer.id);
    const hold = rig.relay.hold(writer.id);
    reader.close();
    expect(rig.unread).toEqual([]);
    rig.open(writer.id);
    hold.release();
    expect(rig.unread).toEqual([]);
  });

  it('is unread when nobody came of it', () => {
    const first = rig.relay.hold(writer.id);
    const second = rig.relay.hold(writer.id);
    first.release();
    expect(rig.unread).toEqual([]);
    second.release();
    expect(rig.unread).toEqual([writer.id]);
  });
});

describe('a reader whose request takes too long', () => {
  const life = { startBy: 60_000, timeoutMs: 10_000, deadlineAt: Infinity };
  const attempt = encodeEntry({
    kind: 'attempt',
    data: { run: 1, attempt: 1, provider: 'p', model: 'm', mode: 'start', at: 0 },
  });

  it('is ended when its timeout has passed since the first attempt that it was given, and not before', async () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given, life);
    rig.clock.now = 5000;
    await writer.write(attempt, 'c1');
    rig.clock.now = 5000 + life.timeoutMs + graceMs - 1;
    rig.relay.endOverdue();
    expect(given.all).not.toContain('gone overdue');
    rig.clock.now += 1;
    rig.relay.endOverdue();
    expect(given.all.at(-1)).toBe('gone overdue');
    expect(rig.relay.readers).toBe(0);
  });

  it('is ended when no attempt has begun by the time that its wait and its timeout take', () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given, life);
    rig.clock.now = life.startBy + graceMs - 1;
    rig.relay.endOverdue();
    expect(given.all).toEqual([]);
    rig.clock.now += 1;
    rig.relay.endOverdue();
    expect(given.all).toEqual(['gone overdue']);
  });

  it('is ended at its deadline', () => {
    const given = createGiven();
    rig.relay.openFresh(writer.id, given, { ...life, deadlineAt: 3000 });
    rig.clock.now = 3000 + graceMs;
    rig.relay.endOverdue();
    expect(given.all).toEqual(['gone overdue']);
  });

  it('is ended while Redis does not answer its read', () => {
    rig.holdReads();
    const { given } = rig.open(writer.id, logStart, createGiven(), life);
    rig.clock.now = life.startBy + graceMs;
    rig.relay.endOverdue();
    expect(given.all).toEqual(['gone overdue']);
  });

  it('reads on while it takes what is there, however slowly', async () => {
    const given = createGiven();
    given.room = false;
    const reader = rig.relay.openFresh(writer.id, given, life);
    await writer.write(attempt);
    await writer.write('c1');
    await writer.end();
    rig.clock.now = 1_000_000;
    rig.relay.endOverdue();
    given.room = true;
    reader.resume();
    await idle();
    expect(given.all).toEqual(writer.lines.map(show));
  });

  it('has the grace of a read when it has room again', async () => {
    const given = createGiven();
    given.room = false;
    const reader = rig.relay.openFresh(writer.id, given, life);
    await writer.write(attempt);
    await writer.write('c1');
    await writer.end();
    rig.clock.now = 1_000_000;
    rig.holdReads();
    given.room = true;
    reader.resume();
    rig.clock.now += graceMs - 1;
    rig.relay.endOverdue();
    await rig.releaseReads();
    expect(given.all).toEqual(writer.lines.map(show));
  });

  it('is ended when Redis does not answer the read of one that has room again', async () => {
    const given = createGiven();
    given.room = false;
    const reader = rig.relay.openFresh(writer.id, given, life);
    await writer.write(attempt);
    rig.clock.now = 1_000_000;
    rig.holdReads();
    reader.resume();
    rig.clock.now += graceMs;
    rig.relay.endOverdue();
    expect(given.all.at(-1)).toBe('gone overdue');
  });

  it('reads on while a log that is read late brings lines', async () => {
    await writer.write(attempt, 'c1');
    rig.clock.now = 1_000_000;
    rig.holdReads();
    const { given } = rig.open(writer.id, logStart, createGiven(), life);
    rig.relay.endOverdue();
    await rig.releaseReads();
    rig.relay.endOverdue();
    expect(given.all).toEqual(writer.lines.map(show));
  });
});

describe('quiet requests', () => {
  it('are those that have heard nothing for a while, each named once in that while', async () => {
    rig.relay.openFresh(writer.id, createGiven());
    rig.clock.now = 999;
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([]);
    rig.clock.now = 1000;
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([writer.id]);
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([]);
    rig.clock.now = 1900;
    await writer.write('c1');
    rig.clock.now = 2000;
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([]);
    rig.clock.now = 2900;
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([writer.id]);
  });

  it('are named no more than asked for, and by and by all of them', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const { id } = await startRequest(rig.memory, inboxName);
      rig.relay.openFresh(id, createGiven());
      ids.add(id);
    }
    rig.clock.now = 1000;
    const named = [0, 1, 2].flatMap(() => {
      const taken = rig.relay.takeQuiet(1000, 2);
      expect(taken.length).toBeLessThanOrEqual(2);
      return taken;
    });
    expect(new Set(named)).toEqual(ids);
    expect(named).toHaveLength(5);
  });

  it('are not those whose reader is slow', async () => {
    const given = createGiven();
    given.room = false;
    rig.relay.openFresh(writer.id, given);
    await writer.write('c1');
    rig.clock.now = 10_000;
    expect(rig.relay.takeQuiet(1000, 10)).toEqual([]);
  });
});

describe('a reader on a connection that others fill', () => {
  it('gives nothing of what it read meanwhile, and all of it when there is room', async () => {
    await writer.write('c1');
    rig.holdReads();
    const { given, reader } = rig.open(writer.id);
    await rig.execute();
    given.full = true;
    await rig.answer();
    expect(given.all).toEqual([]);
    await rig.releaseReads();
    given.full = false;
    reader.resume();
    await idle();
    expect(given.all).toEqual(whole());
  });

  it('does not read before there is room', async () => {
    await writer.write('c1');
    const given = createGiven();
    given.full = true;
    const { reader } = rig.open(writer.id, logStart, given);
    await idle();
    expect(rig.reads).toBe(0);
    given.full = false;
    reader.resume();
    await idle();
    expect(given.all).toEqual(whole());
  });

  it('is given nothing live either, and misses nothing', async () => {
    const given = createGiven();
    const reader = rig.relay.openFresh(writer.id, given);
    given.full = true;
    await writer.write('c1');
    await writer.end();
    expect(given.all).toEqual([]);
    given.full = false;
    reader.resume();
    await idle();
    expect(given.all).toEqual(whole());
    expect(rig.relay.readers).toBe(0);
  });
});
