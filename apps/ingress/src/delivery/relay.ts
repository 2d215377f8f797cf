import { isDamage } from '@millrace/shared/store/redis-failure';
import {
  compareEntryIds,
  isTerminalLine,
  kindOf,
  logStart,
  sameEntryId,
  unpack,
} from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { Frame, ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import { createLimiter } from '../admission/limiter.ts';
import { graceMs, overAt } from './reader-life.ts';
import type { ReaderLife } from './reader-life.ts';

/*
 *   inbox ── frame ──▶ relay ──▶ reader (live)      every new line as it comes
 *                        │
 *     log ◀── read ──────┴─────▶ reader (reading)   behind: at the start, after a gap, or slow
 *
 * A reader has a cursor, the last line it was given. A live frame that begins right behind the
 * cursor is given on; an older one is dropped; anything else is a gap, and the reader goes to the
 * log until it has caught up. So a line reaches every reader once and in order, whatever the live
 * path loses, repeats or brings early.
 */

export type ReaderSink = {
  /**
   * Lines in order, at least one. False when the connection is full: the relay pushes nothing more until
   * `resume`, and then reads on from the log, at the reader's pace.
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
   * The connection must end, with a clear error: nothing more can come, or (`overdue`) the end did not
   * come in time. The relay has closed the reader.
   */
  gone(reason: GoneReason): void;
};

export type GoneReason = 'expired' | 'broken' | 'overdue';

export type Reader = {
  /** The connection can take more again. */
  resume(): void;
  /** Idempotent. The relay closes a reader itself after a terminal line. */
  close(): void;
};

export type Relay = {
  /** Opens a reader of a request that this ingress is about to make: its log is empty, its inbox subscribed. */
  openFresh(id: string, sink: ReaderSink, life?: ReaderLife): Reader;
  /** Opens a reader from a cursor on. The caller has subscribed the inbox before. */
  open(id: string, after: EntryId, sink: ReaderSink, life?: ReaderLife): Reader;
  /**
   * Announces a reader that is about to open: until the release, the request does not become unread when
   * other readers close, and the inbox stays subscribed.
   */
  hold(id: string): { release(): void };
  /** The request expired: ends its readers. */
  expire(id: string): void;
  onFrame(frame: Frame): void;
  /** The log reaches up to `last`: readers behind it read the log. */
  heard(id: string, last: EntryId): void;
  /** Ends the readers whose time is over, except those that still catch up with the log. */
  endOverdue(): void;
  /** Live frames may be missing: every reader reads its log. */
  onGap(): void;
  /**
   * Requests whose readers have all received nothing for `forMs` milliseconds, at most `limit` of them.
   * A request is returned again only after another `forMs`, so that all of them get their turn.
   */
  takeQuiet(forMs: number, limit: number): string[];
  readonly readers: number;
  /** Requests with a hold. */
  readonly held: number;
  /** Reads of logs that run or wait. */
  readonly reads: number;
};

export type RelayOptions = {
  log: Pick<StreamLog, 'read'>;
  /** The last reader of a request left before its end. */
  onUnread(id: string): void;
  onError(error: unknown): void;
  now?(): number;
};

type State = {
  id: string;
  cursor: EntryId;
  /** The newest line known since the last read began. */
  newest: EntryId;
  /** The inbox reported a gap since then: `newest` may be too old. */
  missed: boolean;
  mode: 'live' | 'reading' | 'paused' | 'closed';
  heardAt: number;
  /** When it last received lines or had room again; at first: when it was opened. */
  givenAt: number;
  life: ReaderLife | undefined;
  /** When the relay gives up waiting for the end. */
  overAt: number;
  hasStarted: boolean;
  sink: ReaderSink;
};

/** Bytes of one read of the log, or one pack: half a megabyte at most, or one line. */
export const readBytes = 128 * 1024;
/** Concurrent reads of all readers: what they return is in memory until it is delivered. */
export const maxReads = 16;
/**
 * Characters per call of a sink, or one line: by this much a connection may exceed its buffer. After a slow
 * append a frame can have half a megabyte.
 */
export const portionChars = 32 * 1024;
/** Milliseconds before a read that Redis refused is tried again. */
const retryDelayMs = 100;

export function createRelay({ log, onUnread, onError, now = Date.now }: RelayOptions): Relay {
  const byRequest = new Map<string, Set<State>>();
  const holds = new Map<string, number>();
  const limiter = createLimiter(maxReads);
  let readers = 0;

  function open(
    id: string,
    after: EntryId,
    mode: 'live' | 'reading',
    sink: ReaderSink,
    life: ReaderLife | undefined,
  ): Reader {
    const state: State = {
      id,
      cursor: after,
      newest: after,
      missed: false,
      mode,
      heardAt: now(),
      givenAt: now(),
      life,
      overAt: life ? overAt(life, undefined) : Infinity,
      hasStarted: false,
      sink,
    };
    let states = byRequest.get(id);
    if (!states) byRequest.set(id, (states = new Set()));
    states.add(state);
    readers += 1;
    if (mode === 'reading') read(state);
    return {
      resume() {
        if (state.mode !== 'paused') return;
        // Silence until now was the reader's; from here on it is the log's.
        state.givenAt = now();
        read(state);
      },
      close: () => close(state, 'left'),
    };
  }

  function close(state: State, why: 'left' | 'ended'): void {
    if (state.mode === 'closed') return;
    state.mode = 'closed';
    readers -= 1;
    const states = byRequest.get(state.id);
    states?.delete(state);
    if (states?.size !== 0) return;
    byRequest.delete(state.id);
    if (why === 'left' && !holds.has(state.id)) onUnread(state.id);
  }

  function end(state: State, reason: GoneReason): void {
    if (state.mode === 'closed') return;
    close(state, 'left');
    state.sink.gone(reason);
  }

  /** Pauses the reader if its connection has no room. */
  function checkRoom(state: State): boolean {
    if (state.sink.hasRoom?.() !== false) return true;
    state.mode = 'paused';
    return false;
  }

  /** Delivers the lines that there is room for; the reader gets the rest from the log. */
  function deliver(state: State, lines: readonly Line[]): void {
    const { mode } = state;
    for (let from = 0; from < lines.length && state.mode === mode && checkRoom(state);) {
      const to = endOfPortion(lines, from);
      deliverPortion(state, from === 0 && to === lines.length ? lines : lines.slice(from, to));
      from = to;
    }
  }

  function deliverPortion(state: State, lines: readonly Line[]): void {
    const last = lines.at(-1);
    if (!last) return;
    state.cursor = last;
    state.heardAt = state.givenAt = now();
    if (state.life && !state.hasStarted && lines.some(isAttempt)) {
      state.hasStarted = true;
      state.overAt = overAt(state.life, state.givenAt);
    }
    let wantsMore: boolean;
    try {
      wantsMore = state.sink.lines(lines);
    } catch (error) {
      // An error of one reader must not affect the others of the same frame.
      onError(error);
      end(state, 'broken');
      return;
    }
    if (isTerminalLine(last.text)) close(state, 'ended');
    else if (!wantsMore && state.mode !== 'closed') state.mode = 'paused';
  }

  function read(state: State): void {
    state.mode = 'reading';
    readUntilCaughtUp(state).catch(onError);
  }

  async function readUntilCaughtUp(state: State): Promise<void> {
    while (state.mode === 'reading') {
      const outcome = await limiter
        .run(() => readOnce(state))
        .catch((error: unknown) => {
          if (!isDamage(error)) return retryLater(error);
          onError(error);
          end(state, 'broken');
          return 'stopped' as const;
        });
      // The reader may be closed or paused by now; `resume` reads again.
      if (outcome === 'stopped' || state.mode !== 'reading') return;
      if (outcome === 'retry') continue;
      // Discards what was read; the cursor has not moved, so `resume` reads it again.
      if (!checkRoom(state)) return;
      if (isLost(state, outcome)) {
        state.cursor = logStart;
        state.sink.reset('cursor_ahead');
        continue;
      }
      deliver(state, outcome?.lines ?? []);
      if (state.mode === 'reading' && !outcome?.more && !hasMissed(state)) state.mode = 'live';
    }
  }

  async function readOnce(state: State): Promise<ReadOutcome | 'stopped' | undefined> {
    // While it waited, it may have closed, or others have filled its connection.
    if (state.mode !== 'reading' || !checkRoom(state)) return 'stopped';
    // Only lines that arrive from here on can be missing in this read.
    state.newest = state.cursor;
    state.missed = false;
    return log.read(state.id, state.cursor, readBytes);
  }

  /** The reader has lines that the log has lost. */
  function isLost({ cursor }: State, outcome: ReadOutcome | undefined): boolean {
    return outcome ? outcome.ahead : compareEntryIds(cursor, logStart) > 0;
  }

  const hasMissed = ({ missed, newest, cursor }: State): boolean =>
    missed || compareEntryIds(newest, cursor) > 0;

  async function retryLater(error: unknown): Promise<'retry'> {
    onError(error);
    await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
    return 'retry';
  }

  return {
    openFresh: (id, sink, life) => open(id, logStart, 'live', sink, life),
    open: (id, after, sink, life) => open(id, after, 'reading', sink, life),

    hold(id) {
      holds.set(id, (holds.get(id) ?? 0) + 1);
      return {
        release() {
          const left = (holds.get(id) ?? 1) - 1;
          if (left > 0) holds.set(id, left);
          else holds.delete(id);
          if (left === 0 && !byRequest.has(id)) onUnread(id);
        },
      };
    },

    expire(id) {
      for (const state of byRequest.get(id) ?? []) end(state, 'expired');
    },

    onFrame({ id, prev, last, texts }) {
      const states = byRequest.get(id);
      if (!states) return;
      for (const state of states) {
        if (compareEntryIds(last, state.newest) > 0) state.newest = last;
        if (state.mode !== 'live' || compareEntryIds(last, state.cursor) <= 0) continue;
        if (!sameEntryId(prev, state.cursor)) read(state);
        else deliver(state, unpack(last, texts, state.cursor));
      }
    },

    heard(id, last) {
      for (const state of byRequest.get(id) ?? []) {
        if (compareEntryIds(last, state.newest) > 0) state.newest = last;
        if (state.mode === 'live' && compareEntryIds(last, state.cursor) > 0) read(state);
      }
    },

    endOverdue() {
      const at = now();
      for (const states of byRequest.values()) {
        for (const state of states) {
          // A paused reader still has lines to take.
          const isWaiting = state.mode !== 'paused' && at - state.givenAt >= graceMs;
          if (at >= state.overAt && isWaiting) end(state, 'overdue');
        }
      }
    },

    onGap() {
      for (const states of byRequest.values()) {
        for (const state of states) {
          state.missed = true;
          if (state.mode === 'live') read(state);
        }
      }
    },

    takeQuiet(forMs, limit) {
      const at = now();
      const isQuiet = (state: State) => state.mode === 'live' && state.heardAt <= at - forMs;
      const taken: string[] = [];
      for (const [id, states] of byRequest) {
        if (taken.length === limit) break;
        if (![...states].every(isQuiet)) continue;
        for (const state of states) state.heardAt = at;
        taken.push(id);
      }
      return taken;
    },

    get readers() {
      return readers;
    },
    get held() {
      return holds.size;
    },
    get reads() {
      return limiter.running + limiter.waiting;
    },
  };
}

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
