import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { Frame } from '@millrace/shared/store/stream-log/port';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import {
  behind,
  createRig,
  doneLine,
  idle,
  inboxName,
  logStart,
  startRequest,
} from './relay-steps.ts';
import type { Rig, Given, Writer } from './relay-steps.ts';
import type { Reader } from './relay.ts';

// Whatever the live path loses, repeats, delays or swaps, whenever the log is read, whoever is slow
// and whosever connection others fill: each reader gets the lines behind its cursor, in order, once, and is closed at the end. The
// only thing given is that a loss is told afterwards (`onGap`), and that nothing is shown before it
// is in the log.

type Plain =
  | 'seal'
  | 'end'
  | 'deliver'
  | 'drop'
  | 'swap'
  | 'gap'
  | 'cut'
  | 'execute'
  | 'answer'
  | 'refuse';

type Step =
  | { do: 'write'; lines: number }
  | { do: Plain }
  | { do: 'repeat'; frame: number }
  | { do: 'open'; cursor: number }
  | { do: 'room'; reader: number; room: boolean }
  | { do: 'fill'; reader: number }
  | { do: 'resume'; reader: number }
  | { do: 'leave'; reader: number };

const index = fc.nat({ max: 30 });
const plain = (kind: Plain): fc.Arbitrary<Step> => fc.constant({ do: kind });
const write: fc.Arbitrary<Step> = fc
  .integer({ min: 1, max: 4 })
  .map((lines) => ({ do: 'write', lines }));
const room: fc.Arbitrary<Step> = fc
  .tuple(index, fc.boolean())
  .map(([reader, room]) => ({ do: 'room', reader, room }));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: write },
  { weight: 1, arbitrary: plain('seal') },
  { weight: 1, arbitrary: plain('end') },
  { weight: 6, arbitrary: plain('deliver') },
  { weight: 1, arbitrary: plain('drop') },
  { weight: 1, arbitrary: plain('swap') },
  { weight: 1, arbitrary: plain('gap') },
  { weight: 1, arbitrary: plain('cut') },
  { weight: 3, arbitrary: plain('execute') },
  { weight: 4, arbitrary: plain('answer') },
  { weight: 1, arbitrary: plain('refuse') },
  { weight: 2, arbitrary: index.map((frame): Step => ({ do: 'repeat', frame })) },
  { weight: 2, arbitrary: index.map((cursor): Step => ({ do: 'open', cursor })) },
  { weight: 2, arbitrary: room },
  { weight: 2, arbitrary: index.map((reader): Step => ({ do: 'fill', reader })) },
  { weight: 2, arbitrary: index.map((reader): Step => ({ do: 'resume', reader })) },
  { weight: 1, arbitrary: index.map((reader): Step => ({ do: 'leave', reader })) },
);

type Open = { given: Given; reader: Reader; after: EntryId; left: boolean };

const refusal = new Error('Redis is away');
const isRefusal = (error: unknown) => error === refusal;

/** There is room again, also for those who were not at fault that there was none. */
function resume({ given, reader }: Open): void {
  given.full = false;
  reader.resume();
}

/** The state of one example, and what each step does to it. */
class World {
  readonly readers: Open[] = [];
  readonly shown: Frame[] = [];
  pending: Frame[] = [];
  /** Something was lost and no gap was told since. */
  lost = false;
  ended = false;
  readonly rig: Rig;
  readonly writer: Writer;

  constructor(rig: Rig, writer: Writer) {
    this.rig = rig;
    this.writer = writer;
  }

  async take(one: Step): Promise<void> {
    const { rig, writer, readers } = this;
    switch (one.do) {
      case 'write':
        if (this.ended) break;
        await writer.write(...Array.from({ length: one.lines }, (_, i) => `c${i}`));
        break;
      case 'seal':
        if (!this.ended) await writer.seal();
        break;
      case 'end':
        if (!this.ended) await writer.end();
        this.ended = true;
        break;
      case 'deliver':
        this.show(this.pending.shift());
        break;
      case 'drop':
        if (this.pending.shift()) this.lost = true;
        break;
      case 'swap':
        this.pending = [
          ...this.pending.slice(1, 2),
          ...this.pending.slice(0, 1),
          ...this.pending.slice(2),
        ];
        break;
      case 'gap':
        rig.relay.onGap();
        this.lost = false;
        break;
      case 'cut':
        // The connection breaks and comes back: what was on its way is lost.
        this.pending = [];
        rig.relay.onGap();
        this.lost = false;
        break;
      case 'execute':
        await rig.execute();
        break;
      case 'answer':
        await rig.answer();
        break;
      case 'refuse':
        await rig.refuse(refusal);
        await vi.advanceTimersByTimeAsync(1000);
        break;
      case 'repeat':
        this.show(this.shown[one.frame % Math.max(1, this.shown.length)]);
        break;
      case 'open':
        this.open(one.cursor);
        break;
      case 'room': {
        const open = readers[one.reader % Math.max(1, readers.length)];
        if (open) open.given.room = one.room;
        break;
      }
      case 'fill': {
        const open = readers[one.reader % Math.max(1, readers.length)];
        if (open) open.given.full = true;
        break;
      }
      case 'resume': {
        const open = readers[one.reader % Math.max(1, readers.length)];
        if (open) resume(open);
        break;
      }
      case 'leave': {
        // The first one stays, to see the whole.
        const open = readers[1 + (one.reader % Math.max(1, readers.length - 1))];
        open?.reader.close();
        if (open) open.left = true;
        break;
      }
    }
    for (const frame of rig.memory.channels.drop(inboxName)) this.pending.push(frame);
    await idle();
  }

  open(cursor: number): void {
    const { lines } = this.writer;
    const place: Line | undefined = lines[cursor % (lines.length + 1)];
    // Nothing is behind the end: who has that is not given a reader.
    const after = place && place.text !== doneLine ? place : logStart;
    this.readers.push({ ...this.rig.open(this.writer.id, after), after, left: false });
  }

  show(frame: Frame | undefined): void {
    if (!frame) return;
    this.shown.push(frame);
    this.rig.relay.onFrame(frame);
  }

  /** The answer ends, everything on its way comes, and readers take what they are given. */
  async finish(): Promise<void> {
    await this.take({ do: 'end' });
    for (const frame of this.pending.splice(0)) this.show(frame);
    if (this.lost) this.rig.relay.onGap();
    const isDone = () => this.rig.relay.readers + this.rig.waiting === 0;
    for (let round = 0; round < 100 && !isDone(); round++) {
      for (const open of this.readers) resume(open);
      await this.rig.answer();
      await vi.advanceTimersByTimeAsync(1000);
    }
  }
}

it('every reader gets the lines behind its cursor, in order, once, and is closed at the end', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  try {
    const property = fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: 'max' }),
      async (steps) => {
        const rig = await createRig();
        rig.memory.channels.hold(inboxName);
        rig.holdReads();
        const writer = await startRequest(rig.memory, inboxName);
        await writer.seal();
        const world = new World(rig, writer);
        world.open(0);
        for (const one of steps) await world.take(one);
        await world.finish();

        for (const { given, after, left } of world.readers) {
          const whole = behind(writer.lines, after);
          // Who left was given a part from the start; the others all of it.
          expect(given.all).toEqual(left ? whole.slice(0, given.all.length) : whole);
        }
        expect(rig.errors.filter((error) => !isRefusal(error))).toEqual([]);
        expect(rig.relay.readers).toBe(0);
        expect(rig.waiting).toBe(0);
      },
    );
    await fc.assert(property, { numRuns: 500 });
  } finally {
    vi.useRealTimers();
  }
});
