import {
  compareEntryIds,
  formatEntryId,
  isTerminalLine,
  kindOf,
  logStart,
  sameEntryId,
  unpack,
} from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { ReaderView } from '@millrace/shared/domain/inquiry';
import { isDamage } from '@millrace/shared/store/redis-failure';
import type { Frame, ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Limiter } from '../admission/limiter.ts';
import { graceMs, overAt } from './reader-life.ts';
import type { ReaderLife } from './reader-life.ts';

/*
 *   inbox ── frame ──▶ relay ──▶ reader (live)      every new line as it comes
 *                        │
 *     log ◀── read ──────┴─────▶ reader (reading)   behind: at the start, after a gap, or slow
 *
 * A reader has a cursor, the last line that its sink got. A live frame that begins right behind the cursor is
 * delivered; an older one is dropped; any other is a gap, and the reader reads the log until it has caught up. So a
 * line reaches every reader once and in order, even if the live path loses, repeats or reorders frames.
 */

export type ReaderSink = {
  /**
   * Delivers lines in order, at least one. Returns false if the connection is full: the relay then delivers
   * nothing more until `resume`, and continues from the log at the reader's pace.
   */
  lines(lines: readonly Line[]): boolean;
  /**
   * Called before a read and again before lines are delivered: other readers may have filled the
   * connection meanwhile. If it returns false, the relay neither reads nor delivers until `resume`, which
   * must follow when there is room again. Absent: the connection has only this reader.
   */
  hasRoom?(): boolean;
  /** All lines so far are void, because the log lost them. Everything follows from the start. */
  reset(reason: 'cursor_ahead'): void;
  /**
   * The connection must end with a clear error: nothing more can come, or (`overdue`) the end did not come in
   * time. The relay has closed the reader.
   */
  gone(reason: GoneReason): void;
  /** What operators see of the connection; undefined before it is known. */
  describe?(): ConnectionView | undefined;
};

/** A reader's connection, as operators see it. */
export type ConnectionView = Pick<ReaderView, 'transport' | 'native' | 'buffered'>;

export type GoneReason = 'expired' | 'broken' | 'overdue';

/** Bytes of one read of the log, or one pack: half a megabyte at most, or one line. */
export const readBytes = 128 * 1024;
/**
 * Characters per call of a sink, or one line: a connection may exceed its buffer by this much. After a slow
 * append a frame can have half a megabyte.
 */
export const portionChars = 32 * 1024;
/** Milliseconds before a read that Redis refused is tried again. */
const retryDelayMs = 100;

/**
 * `live`: gets new lines from the inbox. `reading`: is behind, and reads the log. `paused`: its connection has no room.
 */
type Mode = 'live' | 'reading' | 'paused' | 'closed';

export type LogReaderOptions = {
  id: string;
  after: EntryId;
  mode: 'live' | 'reading';
  sink: ReaderSink;
  life: ReaderLife | undefined;
};

/** The dependencies that the readers of a relay share. */
export type LogReaderDeps = {
  log: Pick<StreamLog, 'read'>;
  /** Limits concurrent reads. */
  limiter: Limiter;
  /** Called once. `left`: before the end of the log. */
  onClosed(reader: LogReader, why: 'left' | 'ended'): void;
  onError(error: unknown): void;
  now(): number;
};

/** One reader of one log. */
export class LogReader {
  readonly id: string;
  readonly #deps: LogReaderDeps;
  readonly #sink: ReaderSink;
  readonly #life: ReaderLife | undefined;
  readonly #since: number;
  #mode: Mode;
  #cursor: EntryId;
  /** The newest line known since the last read began. */
  #newest: EntryId;
  /** The inbox reported a gap since then: `newest` may be too old. */
  #missed = false;
  #heardAt: number;
  /** When it last received lines or had room again; at first: when it was opened. */
  #givenAt: number;
  /** When the relay gives up waiting for the end. */
  #overAt: number;
  #hasStarted = false;

  constructor(deps: LogReaderDeps, { id, after, mode, sink, life }: LogReaderOptions) {
    this.id = id;
    this.#deps = deps;
    this.#sink = sink;
    this.#life = life;
    this.#mode = mode;
    this.#cursor = after;
    this.#newest = after;
    this.#since = this.#heardAt = this.#givenAt = deps.now();
    this.#overAt = life ? overAt(life, undefined) : Infinity;
  }

  /** Begins the first read of a reader that was opened to read. */
  begin(): void {
    if (this.#mode === 'reading') this.#read();
  }

  /** The connection has room again. */
  resume(): void {
    if (this.#mode !== 'paused') return;
    // The silence until now was the reader's fault; from now on it is the log's.
    this.#givenAt = this.#deps.now();
    this.#read();
  }

  /** Idempotent. */
  close(why: 'left' | 'ended'): void {
    if (this.#mode === 'closed') return;
    this.#mode = 'closed';
    this.#deps.onClosed(this, why);
  }

  end(reason: GoneReason): void {
    if (this.#mode === 'closed') return;
    this.close('left');
    this.#sink.gone(reason);
  }

  onFrame({ prev, last, texts }: Frame): void {
    this.#note(last);
    if (this.#mode !== 'live' || compareEntryIds(last, this.#cursor) <= 0) return;
    if (sameEntryId(prev, this.#cursor)) this.#deliver(unpack(last, texts, this.#cursor));
    else this.#read();
  }

  /** What operators see of it. */
  view(): ReaderView | undefined {
    const connection = this.#sink.describe?.();
    return connection && { ...connection, since: this.#since, entry: formatEntryId(this.#cursor) };
  }

  /** The log reaches up to `last`. */
  heard(last: EntryId): void {
    this.#note(last);
    if (this.#mode === 'live' && compareEntryIds(last, this.#cursor) > 0) this.#read();
  }

  onGap(): void {
    this.#missed = true;
    if (this.#mode === 'live') this.#read();
  }

  endIfOverdue(at: number): void {
    // A paused reader still has lines to read.
    const isWaiting = this.#mode !== 'paused' && at - this.#givenAt >= graceMs;
    if (at >= this.#overAt && isWaiting) this.end('overdue');
  }

  isQuietSince(at: number): boolean {
    return this.#mode === 'live' && this.#heardAt <= at;
  }

  /** The request was checked: its silence counts from now on. */
  countSilenceFrom(at: number): void {
    this.#heardAt = at;
  }

  #note(last: EntryId): void {
    if (compareEntryIds(last, this.#newest) > 0) this.#newest = last;
  }

  /** Pauses the reader if its connection has no room. */
  #checkRoom(): boolean {
    if (this.#sink.hasRoom?.() !== false) return true;
    this.#mode = 'paused';
    return false;
  }

  /** Delivers the lines that there is room for; the reader gets the rest from the log. */
  #deliver(lines: readonly Line[]): void {
    const mode = this.#mode;
    for (let from = 0; from < lines.length && this.#mode === mode && this.#checkRoom();) {
      const to = endOfPortion(lines, from);
      this.#deliverPortion(from === 0 && to === lines.length ? lines : lines.slice(from, to));
      from = to;
    }
  }

  #deliverPortion(lines: readonly Line[]): void {
    const last = lines.at(-1);
    if (!last) return;
    this.#cursor = last;
    this.#heardAt = this.#givenAt = this.#deps.now();
    if (this.#life && !this.#hasStarted && lines.some(isAttempt)) {
      this.#hasStarted = true;
      this.#overAt = overAt(this.#life, this.#givenAt);
    }
    let wantsMore: boolean;
    try {
      wantsMore = this.#sink.lines(lines);
    } catch (error) {
      // An error of one reader must not affect the others of the same frame.
      this.#deps.onError(error);
      this.end('broken');
      return;
    }
    if (isTerminalLine(last.text)) this.close('ended');
    else if (!wantsMore && this.#mode !== 'closed') this.#mode = 'paused';
  }

  #read(): void {
    this.#mode = 'reading';
    this.#readUntilCaughtUp().catch(this.#deps.onError);
  }

  async #readUntilCaughtUp(): Promise<void> {
    while (this.#mode === 'reading') {
      const outcome = await this.#readInTurn();
      // The reader may be closed or paused by now; `resume` reads again.
      if (outcome === 'stopped' || this.#mode !== 'reading') return;
      if (outcome === 'retry') continue;
      // Discards what was read; the cursor has not moved, so `resume` reads it again.
      if (!this.#checkRoom()) return;
      if (isLost(this.#cursor, outcome)) {
        this.#cursor = logStart;
        this.#sink.reset('cursor_ahead');
        continue;
      }
      this.#deliver(outcome?.lines ?? []);
      if (this.#mode === 'reading' && !outcome?.more && !this.#hasMissed()) this.#mode = 'live';
    }
  }

  async #readInTurn(): Promise<ReadOutcome | 'stopped' | 'retry' | undefined> {
    const { limiter, onError } = this.#deps;
    try {
      return await limiter.run(() => this.#readOnce());
    } catch (error) {
      onError(error);
      if (isDamage(error)) {
        this.end('broken');
        return 'stopped';
      }
      await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
      return 'retry';
    }
  }

  async #readOnce(): Promise<ReadOutcome | 'stopped' | undefined> {
    // While it waited for the limiter, the reader may have closed, or others may have filled its connection.
    if (this.#mode !== 'reading' || !this.#checkRoom()) return 'stopped';
    // Only lines that arrive from here on can be missing in this read.
    this.#newest = this.#cursor;
    this.#missed = false;
    return this.#deps.log.read(this.id, this.#cursor, readBytes);
  }

  #hasMissed(): boolean {
    return this.#missed || compareEntryIds(this.#newest, this.#cursor) > 0;
  }
}

/** The reader has lines that the log has lost. */
const isLost = (cursor: EntryId, outcome: ReadOutcome | undefined): boolean =>
  outcome ? outcome.ahead : compareEntryIds(cursor, logStart) > 0;

const isAttempt = ({ text }: Line): boolean => kindOf(text) === 'attempt';

/** The end of a portion that begins at an index. */
function endOfPortion(lines: readonly Line[], from: number): number {
  let chars = 0;
  for (let i = from; i < lines.length; i++) {
    chars += lines[i]?.text.length ?? 0;
    if (chars > portionChars && i > from) return i;
  }
  return lines.length;
}
