import { logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { maxReadersInAnswer } from '@millrace/shared/domain/inquiry';
import type { ReadersAnswer } from '@millrace/shared/domain/inquiry';
import type { Frame, StreamLog } from '@millrace/shared/store/stream-log/port';
import { createLimiter } from '../admission/limiter.ts';
import { LogReader } from './log-reader.ts';
import type { LogReaderOptions, ReaderSink } from './log-reader.ts';
import type { ReaderLife } from './reader-life.ts';

export type { GoneReason, ReaderSink } from './log-reader.ts';

export type Reader = {
  /** The connection can take more again. */
  resume(): void;
  /** Idempotent. The relay closes a reader itself after a terminal line. */
  close(): void;
};

export type Relay = {
  /** Opens a reader of a request that this ingress is about to create: its log is empty, its inbox subscribed. */
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
   * Requests whose readers have all received nothing for `forMs` milliseconds, at most `limit` of them. A
   * request is returned again only after another `forMs`, so that each of them gets its turn.
   */
  takeQuiet(forMs: number, limit: number): string[];
  readonly readers: number;
  /** What operators see of the readers of a request. */
  look(id: string): ReadersAnswer;
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

/** Concurrent reads of all readers: their results are in memory until delivered. */
export const maxReads = 16;

/** Distributes the frames of this ingress' inbox to the readers of their requests. */
export function createRelay({ log, onUnread, onError, now = Date.now }: RelayOptions): Relay {
  const byRequest = new Map<string, Set<LogReader>>();
  const holds = new Map<string, number>();
  const limiter = createLimiter(maxReads);
  const deps = { log, limiter, onClosed, onError, now };
  let count = 0;

  function open(options: LogReaderOptions): Reader {
    const reader = new LogReader(deps, options);
    let readers = byRequest.get(options.id);
    if (!readers) byRequest.set(options.id, (readers = new Set()));
    readers.add(reader);
    count += 1;
    reader.begin();
    return { resume: () => reader.resume(), close: () => reader.close('left') };
  }

  function onClosed(reader: LogReader, why: 'left' | 'ended'): void {
    count -= 1;
    const readers = byRequest.get(reader.id);
    readers?.delete(reader);
    if (readers?.size !== 0) return;
    byRequest.delete(reader.id);
    if (why === 'left' && !holds.has(reader.id)) onUnread(reader.id);
  }

  function release(id: string): void {
    const left = (holds.get(id) ?? 1) - 1;
    if (left > 0) holds.set(id, left);
    else holds.delete(id);
    if (left === 0 && !byRequest.has(id)) onUnread(id);
  }

  function takeQuiet(forMs: number, limit: number): string[] {
    const at = now();
    const taken: string[] = [];
    for (const [id, readers] of byRequest) {
      if (taken.length === limit) break;
      if (![...readers].every((reader) => reader.isQuietSince(at - forMs))) continue;
      for (const reader of readers) reader.countSilenceFrom(at);
      taken.push(id);
    }
    return taken;
  }

  function* all(): Generator<LogReader> {
    for (const readers of byRequest.values()) yield* readers;
  }

  const of = (id: string): Iterable<LogReader> => byRequest.get(id) ?? [];

  return {
    openFresh: (id, sink, life) => open({ id, after: logStart, mode: 'live', sink, life }),
    open: (id, after, sink, life) => open({ id, after, mode: 'reading', sink, life }),
    hold(id) {
      holds.set(id, (holds.get(id) ?? 0) + 1);
      return { release: () => release(id) };
    },
    expire(id) {
      for (const reader of of(id)) reader.end('expired');
    },
    onFrame(frame) {
      for (const reader of of(frame.id)) reader.onFrame(frame);
    },
    heard(id, last) {
      for (const reader of of(id)) reader.heard(last);
    },
    endOverdue() {
      const at = now();
      for (const reader of all()) reader.endIfOverdue(at);
    },
    onGap() {
      for (const reader of all()) reader.onGap();
    },
    takeQuiet,
    look(id) {
      const views = [...of(id)].flatMap((reader) => reader.view() ?? []);
      return { readers: views.slice(0, maxReadersInAnswer), total: views.length };
    },
    get readers() {
      return count;
    },
    get held() {
      return holds.size;
    },
    get reads() {
      return limiter.running + limiter.waiting;
    },
  };
}
