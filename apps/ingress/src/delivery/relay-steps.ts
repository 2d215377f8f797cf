import { encodeEntry, formatEntryId } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import type { MemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { ReaderLife } from './reader-life.ts';
import { createRelay } from './relay.ts';
import type { Reader, ReaderSink, Relay } from './relay.ts';

/* Helpers for tests of the relay: a request with runs, and recording readers. */

export const doneLine = encodeEntry({
  kind: 'done',
  data: { finishReason: 'stop', attempts: 1, at: 1 },
});

export const logStart: EntryId = { run: 0, seq: 0 };

/** Resolves when all work that needs no further event is done. */
export const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const show = ({ run, seq, text }: Line): string => `${run}-${seq} ${text}`;

/** One request and its runs; records the lines that it has written. */
export type Writer = {
  readonly id: string;
  readonly lines: Line[];
  seal(): Promise<void>;
  write(...texts: string[]): Promise<void>;
  end(): Promise<void>;
  /** Ends the request from outside. */
  cancel(): Promise<void>;
};

export async function startRequest({ log, submit }: MemoryLog, inbox?: string): Promise<Writer> {
  const id = newRequestId(0, Date.now());
  const meta = {
    id,
    endpoint: '/v1/chat/completions',
    model: 'm',
    stream: true,
    reader: 'native',
    includeUsage: false,
    attached: false,
    createdAt: 0,
  } as const;
  await submit(newRequest(meta, { inbox }));
  const lines: Line[] = [];
  let activation = 0;
  let run = 0;
  let nonce = '';
  let prev: EntryId = logStart;

  async function write(texts: string[], isEnd: boolean): Promise<void> {
    const first = (prev.run === run ? prev.seq : 0) + 1;
    const last = { run, seq: first + texts.length - 1 };
    const terminal = isEnd ? ({ terminal: 'done' } as const) : {};
    const item = { id, nonce, prev, entries: 0, last, lines: texts, ...terminal };
    const [outcome] = await log.append(0, [item]);
    if (outcome !== 'written') throw new Error(`append: ${outcome}`);
    for (const [i, text] of texts.entries()) lines.push({ run, seq: first + i, text });
    prev = last;
  }

  return {
    id,
    lines,
    async seal() {
      activation += 1;
      nonce = `nonce-${activation}`;
      const sealed = await log.seal(id, { activation, nonce, worker: 'w' });
      if (sealed.kind !== 'sealed') throw new Error(`seal: ${sealed.kind}`);
      ({ run, last: prev } = sealed);
    },
    write: (...texts) => write(texts, false),
    end: () => write([doneLine], true),
    async cancel() {
      const text = encodeEntry({ kind: 'cancelled', data: { reason: 'a test', at: 1 } });
      await log.finish(id, text, 'cancelled');
      const described = await log.describe(id);
      if (described) lines.push({ ...described.last, text });
    },
  };
}

/**
 * The lines that a reader received, in order; `room` is what its connection returns. `full`: others have
 * filled the connection, so delivering lines to it is a fault.
 */
export type Given = ReaderSink & { all: string[]; room: boolean; full: boolean };

export function createGiven(): Given {
  const all: string[] = [];
  return {
    all,
    room: true,
    full: false,
    hasRoom() {
      return !this.full;
    },
    lines(lines) {
      if (this.full) throw new Error('lines where there is no room');
      if (lines.length === 0) throw new Error('a call without lines');
      all.push(...lines.map(show));
      return this.room;
    },
    reset(reason) {
      all.push(`reset ${reason}`);
    },
    gone(reason) {
      all.push(`gone ${reason}`);
    },
  };
}

export type Rig = {
  log: StreamLog;
  memory: MemoryLog;
  relay: Relay;
  /** Requests whose last reader left. */
  unread: string[];
  errors: unknown[];
  /** Reads of the log so far. */
  readonly reads: number;
  /** From now on each read waits until the test answers it, oldest first. */
  holdReads(): void;
  readonly waiting: number;
  /** Reads the log now; the result is returned later. */
  execute(): Promise<void>;
  /** Answers the oldest read with the result of `execute`, or else of a read now. */
  answer(): Promise<void>;
  refuse(error: Error): Promise<void>;
  releaseReads(): Promise<void>;
  open(
    id: string,
    after?: EntryId,
    given?: Given,
    life?: ReaderLife,
  ): { given: Given; reader: Reader };
  clock: { now: number };
};

type HeldRead = {
  read: () => Promise<ReadOutcome | undefined>;
  executed: Promise<ReadOutcome | undefined> | undefined;
  resolve(outcome: Promise<ReadOutcome | undefined>): void;
  reject(error: Error): void;
};

/** More than any test needs. */
const maxReads = 5000;

export const inboxName = 'in-1';

/** A relay with an inbox of a memory log. */
export async function createRig(): Promise<Rig> {
  const memory = createMemoryLog();
  const { log } = memory;
  const held: HeldRead[] = [];
  const unread: string[] = [];
  const errors: unknown[] = [];
  const clock = { now: 0 };
  let holding = false;
  let reads = 0;

  const relay = createRelay({
    log: {
      read(id, after, maxBytes) {
        reads += 1;
        // A relay that reads in an endless loop would never let a test end.
        if (reads > maxReads) return Promise.reject(new Error('reads without end'));
        const read = () => log.read(id, after, maxBytes);
        if (!holding) return read();
        return new Promise((resolve, reject) => {
          held.push({ read, executed: undefined, resolve, reject });
        });
      },
    },
    onUnread: (id) => unread.push(id),
    onError: (error) => errors.push(error),
    now: () => clock.now,
  });
  await memory.channels.openInbox(inboxName, relay);

  return {
    log,
    memory,
    relay,
    unread,
    errors,
    clock,
    get reads() {
      return reads;
    },
    holdReads() {
      holding = true;
    },
    get waiting() {
      return held.length;
    },
    async execute() {
      const next = held.find(({ executed }) => !executed);
      if (next) await (next.executed = next.read());
    },
    async answer() {
      const oldest = held.shift();
      oldest?.resolve(oldest.executed ?? oldest.read());
      await idle();
    },
    async refuse(error) {
      held.shift()?.reject(error);
      await idle();
    },
    async releaseReads() {
      holding = false;
      for (const { executed, read, resolve } of held.splice(0)) resolve(executed ?? read());
      await idle();
    },
    open(id, after = logStart, given = createGiven(), life) {
      return { given, reader: relay.open(id, after, given, life) };
    },
  };
}

/** The lines of a request after a cursor, as a reader must have received them. */
export const behind = (lines: readonly Line[], after: EntryId): string[] =>
  lines
    .slice(lines.findIndex((line) => formatEntryId(line) === formatEntryId(after)) + 1)
    .map(show);
