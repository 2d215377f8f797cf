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
import { createTurns } from '../admission/limiter.ts';
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
   * Lines in order, at least one. False when the connection holds enough: nothing more is pushed
   * until `resume`, and then it comes from the log, at the reader's pace.
   */
  lines(lines: readonly Line[]): boolean;
  /**
   * Asked before a read and again before lines are given: others may have filled the connection
   * meanwhile. While it is false nothing is given and nothing read, until `resume`, which must come
   * when there is room again. Absent: only this reader fills it.
   */
  hasRoom?(): boolean;
  /** What was given so far is void: the log lost it. Everything follows from the start. */
  reset(reason: 'cursor_ahead'): void;
  /**
   * The connection must end, with a clear error: nothing more can come, or (`overdue`) the end did not
   * come in time. The reader is closed.
   */
  gone(reason: Gone): void;
};

export type Gone = 'expired' | 'broken' | 'overdue';

export type Reader = {
  /** The connection can take more again. */
  resume(): void;
  /** Idempotent. A reader that was given a terminal line is closed by itself. */
  close(): void;
};

export type Relay = {
  /** A reader of a request that this ingress just makes: its log is empty and its inbox is known. */
  openFresh(id: string, sink: ReaderSink, life?: ReaderLife): Reader;
  /** A reader from a cursor on. The caller has subscribed the inbox before. */
  open(id: string, after: EntryId, sink: ReaderSink, life?: ReaderLife): Reader;
  /**
   * Somebody is about to open a reader: until it is released, nobody's leaving makes the request
   * unread, and the inbox stays subscribed.
   */
  hold(id: string): { release(): void };
  /** The request is not there any more: its readers are told. */
  expire(id: string): void;
  onFrame(frame: Frame): void;
  /** The log is known to reach up to here: whoever is behind has missed something. */
  heard(id: string, last: EntryId): void;
  /** Ends the readers whose time is over, but for those that still take what the log has. */
  endOverdue(): void;
  /** Live frames may be missing: every reader looks into its log. */
  onGap(): void;
  /**
   * Requests whose readers have all heard nothing for a while (milliseconds), at most `limit` of
   * them. Each is named again only after as long a while: by and by, every one is.
   */
  takeQuiet(forMs: number, limit: number): string[];
  readonly readers: number;
  /** Requests that somebody is about to open a reader of. */
  readonly held: number;
  /** Reads of logs, under way or in line. */
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
  /** The newest line that was heard of since the last read began. */
  newest: EntryId;
  /** A gap was told since then: what was lost in it is not in `newest`. */
  missed: boolean;
  mode: 'live' | 'reading' | 'paused' | 'closed';
  heardAt: number;
  /** When it was given something, or had room again; at first: when it was opened. */
  givenAt: number;
  life: ReaderLife | undefined;
  /** When it is given up. */
  overAt: number;
  hasStarted: boolean;
  sink: ReaderSink;
};

/** Bytes of one read of the log, or one pack: half a megabyte at most, or one line. */
export const readBytes = 128 * 1024;
/** Reads under way at a time, of all readers: what was read and not given on yet is in memory. */
export const maxReads = 16;
/**
 * Characters that a sink is given at a time, or one line: what a connection may hold on top of its
 * buffer. A frame can bring half a megabyte where Redis was slow to take it.
 */
export const portionChars = 32 * 1024;
/** Milliseconds before a read that Redis refused is tried again. */
const retryDelayMs = 100;

export function createRelay({ log, onUnread, onError, now = Date.now }: RelayOptions): Relay {
  const byRequest = new Map<string, Set<State>>();
  const holds = new Map<string, number>();
  const turns = createTurns(maxReads);
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
        // Until now the reader was the slow one; from here on the log is.
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

  function end(state: State, reason: Gone): void {
    if (state.mode === 'closed') return;
    close(state, 'left');
    state.sink.gone(reason);
  }

  /** Without room the reader pauses where it is. */
  function findRoom(state: State): boolean {
    if (state.sink.hasRoom?.() !== false) return true;
    state.mode = 'paused';
    return false;
  }

  /** As many of the lines as there is room for: the rest is in the log. */
  function give(state: State, lines: readonly Line[]): void {
    const { mode } = state;
    for (let from = 0; from < lines.length && state.mode === mode && findRoom(state);) {
      const to = endOfPortion(lines, from);
      givePortion(state, from === 0 && to === lines.length ? lines : lines.slice(from, to));
      from = to;
    }
  }

  function givePortion(state: State, lines: readonly Line[]): void {
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
      // Not the fault of the others, whose lines came in the same message.
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
      const outcome = await turns
        .take(() => readOnce(state))
        .catch((error: unknown) => {
          if (!isDamage(error)) return retryLater(error);
          onError(error);
          end(state, 'broken');
          return 'stopped' as const;
        });
      // The connection may have closed meanwhile, or have no room: then `resume` reads anew.
      if (outcome === 'stopped' || state.mode !== 'reading') return;
      if (outcome === 'retry') continue;
      // What was read is let go, and read again when there is room: the cursor has not moved.
      if (!findRoom(state)) return;
      if (isLost(state, outcome)) {
        state.cursor = logStart;
        state.sink.reset('cursor_ahead');
        continue;
      }
      give(state, outcome?.lines ?? []);
      if (state.mode === 'reading' && !outcome?.more && !hasMissed(state)) state.mode = 'live';
    }
  }

  async function readOnce(state: State): Promise<ReadOutcome | 'stopped' | undefined> {
    // It may have left, or others have filled its connection, while it waited for its turn.
    if (state.mode !== 'reading' || !findRoom(state)) return 'stopped';
    // Only what is heard from here on can be missing in this read.
    state.newest = state.cursor;
    state.missed = false;
    return log.read(state.id, state.cursor, readBytes);
  }

  /** The reader has lines that the log does not have any more, with or without others after them. */
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
        else give(state, unpack(last, texts, state.cursor));
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
          // A paused one has not taken yet what is there.
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
      return turns.underWay + turns.waiting;
    },
  };
}

const isAttempt = ({ text }: Line): boolean => kindOf(text) === 'attempt';

/** Where the lines from a place on are too many for one portion. */
function endOfPortion(lines: readonly Line[], from: number): number {
  let chars = 0;
  for (let i = from; i < lines.length; i++) {
    chars += lines[i]?.text.length ?? 0;
    if (chars > portionChars && i > from) return i;
  }
  return lines.length;
}
